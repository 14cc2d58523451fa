"""Changes of models, recorded with the change: `audit.track`. What is recorded is compared with what is there: `comparison`."""
