"""Several processes write and seal one log: one has the role, and every row gets one seal."""

from __future__ import annotations

from pathlib import Path

from tests.support.databases import Databases, base_environment
from tests.support.remote import DjangoProcess

WRITE_AND_SEAL = """
import threading
from audit.evidence.sealer import Sealer
from tests.support import auditing
from tests.support.auditing import write
stop, sealer = threading.Event(), Sealer()
thread = threading.Thread(target=sealer.run, args=[stop])
thread.start()
auditing.running = stop, thread
for _ in range(10):
    write(2)
"""
STOP = """
from tests.support import auditing
stop, thread = auditing.running
stop.set()
thread.join()
"""
RESULT = """
from audit.evidence import log
from audit.conf import seal_keys
from audit.models import AuditEntry
from tests.support.auditing import seal
seal(); seal()
result = [
    [row.id for made in log.seals() for row in made.sealed_rows()],
    list(AuditEntry.objects.order_by("id").values_list("id", flat=True)),
    [str(finding) for finding in log.verify(seal_keys()).findings],
    AuditEntry.objects.exclude(source_category="security").count(),
]
"""


def test_processes_that_all_seal_make_one_chain_also_when_one_is_killed(databases: Databases, tmp_path: Path) -> None:
    env = base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path), "AUDIT_SEAL_INTERVAL": "0.01"}
    with DjangoProcess(env) as first, DjangoProcess(env) as second, DjangoProcess(env) as third:
        for process in (first, second):
            process.run(WRITE_AND_SEAL)
        first.kill()  # with the role, or without it
        third.run("from audit.models import SealerLease; SealerLease.objects.update(until='2020-01-01T00:00Z')")
        second.run(STOP)
        sealed, written, findings, number = third.run(RESULT)
    assert sealed == written
    assert number == 40
    assert findings == []
