"""An app of the tests: each request of the admin's page "Integrity" verifies one seal, so that few seals take many steps."""
