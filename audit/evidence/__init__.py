"""What makes the log evidence: triggers that refuse changes, seals that tell of them, and the narrow ways through: retention, erasure.

`keys`, `canonical`, `seals`, `archive` and `verify` need neither Django nor a database.
"""
