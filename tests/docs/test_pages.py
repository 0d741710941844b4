"""What pages point at is there, and CHANGELOG is kept."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/*/README.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
FILE = re.compile(r"\b((?:docs|larder|services|shared|tests)/[\w./-]+\.(?:json|md|py|sql|toml))\b")

KEPT = {ROOT / "docs" / name for name in ("bench.json", "bench-shards.json")}
"""What `larder bench --keep` writes: not there before its first run."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    """Whoever moves a file finds the pages that send people to it."""
    text = page.read_text()
    links = {page.parent / link for link in LINK.findall(text)}
    files = {ROOT / name for name in FILE.findall(text)}
    assert [str(file) for file in (links | files) - KEPT if not file.exists()] == []


def test_the_pages_show_something() -> None:
    """The three that a stranger looks for are among them, and README leads there."""
    for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"):
        assert f"]({name})" in (ROOT / "README.md").read_text()


def test_the_changelog_begins_with_what_is_not_released_yet() -> None:
    """Then the versions, each with its day, the newest first; the version that pyproject names is the newest."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    title, *headings = re.findall(r"^#.*", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert (title, headings[0]) == ("# Changelog", "## Unreleased")
    released = [re.fullmatch(r"## (\d+)\.(\d+)\.(\d+), \d{4}-\d\d-\d\d", heading) for heading in headings[1:]]
    assert all(released), headings
    numbers = [tuple(map(int, one.groups())) for one in released if one]
    assert numbers == sorted(numbers, reverse=True)
    assert not numbers or version == ".".join(map(str, numbers[0]))
