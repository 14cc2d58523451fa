"""Two models with the same fields: one bare, one tracked by the package that is measured."""
