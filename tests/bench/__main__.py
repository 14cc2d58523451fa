"""`python -m tests.bench`, with Django set up: the tests' databases need it. Nothing of it is measured."""

from __future__ import annotations

import os
import sys

import django

from tests.bench.prepare import PLACE


def main() -> int:
    """Set Django up on settings of its own, then run."""
    PLACE.mkdir(parents=True, exist_ok=True)
    os.environ |= {"DJANGO_SETTINGS_MODULE": "chatter_site.settings", "VAR_DIR": str(PLACE), "DATABASE_URL": ""}
    django.setup()
    from tests.bench import run

    return run.main()


if __name__ == "__main__":
    sys.exit(main())
