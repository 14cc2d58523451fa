"""Logs of other programs as security events, and what the detectors make of them."""
