"""An app of the tests: models that are tracked."""
