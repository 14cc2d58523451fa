"""Refusing attempts to sign in where there were too many: off unless it is asked for, and apart from detection."""
