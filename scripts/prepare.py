"""Prepare the site before it is served: the database, the static files, the demo accounts. Safe to repeat."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from io import StringIO
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatter_site.settings")

import django
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connections


def fingerprint_of_static() -> str:
    """What the static files are: their names, sizes and times, as one digest."""
    digest = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            found = Path(storage.path(name)).stat()
            digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static() -> None:
    """Collect the static files, unless those that were collected last are still the same."""
    root = Path(settings.STATIC_ROOT)
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".collected").open("a+") as stamp:
        fcntl.flock(stamp, fcntl.LOCK_EX)
        stamp.seek(0)
        fingerprint = fingerprint_of_static()
        if stamp.read() == fingerprint:
            return
        call_command("collectstatic", interactive=False, verbosity=0)
        stamp.seek(0)
        stamp.truncate()
        stamp.write(fingerprint)


def prepare() -> None:
    """Everything that the site needs to be served. Exits with what is wrong with the settings or the database, if something is."""
    try:
        django.setup()
        call_command("check", stdout=StringIO())
    except (ImproperlyConfigured, SystemCheckError) as error:
        sys.exit(str(error))
    collect_static()
    try:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("setup_demo")
    except OperationalError as error:
        sys.exit(f"The database can't be used: {error}")
    connections.close_all()


def main() -> None:
    """`python -m scripts.prepare` prepares everything, with `static` the static files only."""
    if sys.argv[1:] == ["static"]:
        django.setup()
        collect_static()
    else:
        prepare()


if __name__ == "__main__":
    main()
