"""Signing in under attack: this project beside django-axes, on the same scripts."""
