"""The import paths that existing code uses. Names only: what they stand for is in events, security and audit."""
