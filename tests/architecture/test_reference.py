"""Documentation that is written from the code is up to date, and what a person can name is in it."""

from __future__ import annotations

import pytest

from events.sse import EventType
from scripts.write_reference import PAGES, README, REFERENCE, app_settings, commands, readme


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_written_from_the_code_is_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text() == PAGES[name](), "run `make reference`"


def test_the_readmes_table_of_settings_is_up_to_date() -> None:
    assert README.read_text() == readme(), "run `make reference`"


def test_every_setting_says_what_it_means() -> None:
    settings = [(cls.setting, name, field.description) for cls in app_settings() for name, field in cls.model_fields.items()]
    assert {setting for setting, _, _ in settings} == {"EVENTS", "AUDIT", "SECURITY"}
    assert not [(setting, name) for setting, name, description in settings if not description]


def test_every_command_says_what_it_does() -> None:
    page = PAGES["commands.md"]()
    for _, name in commands():
        description = page.split(f"## `{name}`\n\n")[1].split("\n")[0]
        assert len(description.split()) > 3, f"{name} has no help"


def test_every_event_type_is_listed() -> None:
    page = PAGES["event-types.md"]()
    assert not [known for known in EventType if f"| `{known}` |" not in page]
