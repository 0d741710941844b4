"""docs/operations.md says of everything that is kept how long, and why."""

from __future__ import annotations

import re
from pathlib import Path

from larder.stack.migrate import schema_files
from shared.settings import SERVICES, Settings

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def section() -> str:
    """The section about it."""
    text = OPERATIONS.read_text()
    return text[text.index("## What is kept") : text.index("## When things break")]


def test_every_table_has_its_row() -> None:
    """Whoever adds a table says how long its rows stay."""
    made = {
        name
        for service in SERVICES
        for file in schema_files(service)
        for name in re.findall(r"^create table (\w+)", file.text(), re.MULTILINE)
    }
    rows = "\n".join(line for line in section().splitlines() if line.startswith("|"))
    assert len(made) > 30
    assert {name for name in made if f"`{name}`" not in rows} == set()


def test_the_settings_and_their_defaults_are_told() -> None:
    """As they are."""
    settings = Settings(token_secret="only for tests" * 3)
    for name in ("personal_data_s", "timeline_s", "parked_s", "risk_memory_s"):
        assert f"`LARDER_{name.upper()}`, {getattr(settings, name) / 86_400:.0f} days" in section()
