"""docs/how-to/track-model-changes.md: its Python, run as it stands there, in a process of its own: it tracks models for good."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.databases import Databases, base_environment
from tests.support.paths import ROOT
from tests.support.remote import DjangoProcess

PAGE = ROOT / "docs" / "how-to" / "track-model-changes.md"


def test_the_samples_do_what_the_page_says(databases: Databases, tmp_path: Path) -> None:
    samples = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(samples) == 5
    code = "".join(samples).replace('"alice"', '"carol"')  # the accounts of the tests have an alice
    with DjangoProcess(base_environment() | {"DATABASE_URL": databases.create(), "VAR_DIR": str(tmp_path)}) as process:
        process.run(code)
