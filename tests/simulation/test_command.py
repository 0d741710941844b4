"""`larder simulate`: what people and programs get to see."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from larder.cli import app
from larder.commands.simulate import read_seeds
from tests.simulation.test_planted_bugs import release_forgets_the_lock

runner = CliRunner()


def test_json_is_one_line() -> None:
    """The last line says how many seeds, how many violations and how fast; exit 0 when nothing is wrong."""
    result = runner.invoke(app, ["simulate", "--seeds", "1..3", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout.strip().splitlines()[-1])
    assert told["seeds"] == 3
    assert told["violations"] == 0
    assert told["failed_seeds"] == []
    assert told["seeds_per_s"] > 0


def test_a_failure_tells_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A violation is told with its ids, the end of the story, and the command that replays the seed; exit 1."""
    release_forgets_the_lock(monkeypatch)
    result = runner.invoke(app, ["simulate", "--seeds", "1..20", "--json"])
    assert result.exit_code == 1
    *lines, last = result.stdout.strip().splitlines()
    told = json.loads(last)
    seed = told["failed_seeds"][0]
    assert told["violations"] > 0
    assert any("hold_is_its_moves [o-" in line for line in lines)
    assert any("inventory.commands" in line and "ReleaseStock" in line for line in lines)
    assert f"  to see it again: larder simulate --seeds {seed}..{seed}" in lines
    again = runner.invoke(app, ["simulate", "--seeds", f"{seed}..{seed}"])
    assert again.exit_code == 1


@pytest.mark.parametrize(("text", "seeds"), [("1..3", range(1, 4)), ("7", range(7, 8)), ("5..5", range(5, 6))])
def test_seeds_are_a_range(text: str, seeds: range) -> None:
    """Both ends are played."""
    assert read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a..b", "3..1", "1...3", "-1..2"])
def test_a_bad_range_is_told(text: str) -> None:
    """What is no range is refused with a usage error."""
    assert runner.invoke(app, ["simulate", f"--seeds={text}"]).exit_code == 2
