"""`larder bench`: what it refuses, what it leaves behind, and one of it for real."""

import json
import signal
import tempfile
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from larder.bench import turn
from larder.bench.child import Told
from larder.bench.turn import Plan, Turn
from larder.bench.version import ROOT, Version
from larder.cli import app
from larder.commands import bench
from larder.load.errors import LoadError
from larder.stack.process import Identity
from larder.stack.state import Stack
from tests.bench.controls import load, run
from tests.parts import why_not


@pytest.fixture
def turns(monkeypatch, tmp_path):
    """Turns that are over at once, and what each was asked for; `turns.fails` is what the last of them raises."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(bench, "here", lambda say: Version("new", "1" * 40, tmp_path, tmp_path))
    monkeypatch.setattr(bench, "commit_of", lambda rev: "0" * 40)
    monkeypatch.setattr(Version, "knows", lambda self, option: self.name == "new")
    monkeypatch.setattr(bench, "Turn", Taken)

    @contextmanager
    def other(commit, say):
        yield Version("old", commit, tmp_path, tmp_path)
        Taken.put_away = True

    monkeypatch.setattr(bench, "other", other)
    Taken.seen, Taken.fails, Taken.put_away = [], None, False
    return Taken


class Taken:
    """A turn without a stack."""

    seen: list[tuple[object, ...]]
    fails: BaseException | None
    put_away: bool

    def __init__(self, version, shards, options, say):
        self._what = (version.name, shards, *options)

    def take(self, plan, seed, *, audit):
        """Its figures."""
        if self.fails and len(self.seen) == 2:
            raise self.fails
        self.seen.append((*self._what, seed, audit))
        figures = run("", load(None), *(load(rate) for rate in plan.rates))
        return {name: figures[name] for name in figures if name not in ("version", "shards")}


def test_everybody_has_turns_with_the_same_seeds(turns, tmp_path):
    """In the other order each time, and the audit once; the figures are shown, kept and drawn."""
    options = ["--against", "old", "--shards", "1,8", "--runs", "2", "--seed", "7", "--rates", "100,20", "--json"]
    kept = tmp_path / "kept.json"
    done = CliRunner().invoke(app, ["bench", *options, "--keep", str(kept)])
    assert done.exit_code == 0, done.output
    after = ("--after-share", "0")
    first = [("old", 1, 7, True), ("new", 1, *after, 7, True), ("old", 8, 7, True), ("new", 8, *after, 7, True)]
    assert turns.seen == first + [(*who[:-2], 8, False) for who in reversed(first)]
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert json.loads(kept.read_text()) == told
    assert [entry["rate"] for entry in told["runs"][0]["loads"]] == [None, 20, 100]
    assert told["plan"] == {"orders": 30_000, "warm": 15_000, "rates": [20, 100], "rate_s": 30}
    assert [entry["name"] for entry in told["versions"]] == ["old", "new"]
    assert "| old, 1 shard | new, 1 shard | old, 8 shards | new, 8 shards |" in done.stdout


@pytest.mark.parametrize(
    ("fails", "code", "told"),
    [
        (
            LoadError("`larder load` of old ended with exit code 1:\nviolation: x"),
            1,
            "larder: `larder load` of old ended",
        ),
        (KeyboardInterrupt(), 130, "stopped: what was begun is down and gone"),
    ],
)
def test_what_goes_wrong_ends_it_and_what_was_over_is_shown(fails, code, told, turns, tmp_path):
    """With its exit code; what is not whole is not kept; and the other version is put away."""
    turns.fails = fails
    kept = tmp_path / "kept.json"
    done = CliRunner().invoke(app, ["bench", "--against", "old", "--runs", "3", "--keep", str(kept)])
    assert done.exit_code == code
    assert told in done.stderr
    assert "| full lives a second |" in done.stdout
    assert "Traceback" not in done.output
    assert not kept.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--against", "no-such-commit"], 1, "larder: there is no commit 'no-such-commit'"),
        (["--keep", "README.md"], 1, "README.md is no bench"),
        (["--rates", ""], 2, "'' in --rates"),
        (["--shards", " "], 2, "'' in --shards"),
        (["--against", "a\x00b"], 1, "there is no commit"),
        (["--keep", "nowhere/bench.json"], 1, "nowhere is no folder: make it first"),
        (["--rates", "5,fast"], 2, "'fast' in --rates is none of the numbers from 0.01 to 1,000,000"),
        (["--rates", "nan"], 2, "'nan' in --rates"),
        (["--rates", "5,5"], 2, "each once"),
        (["--rates", "5,,6"], 2, "'' in --rates"),
        (["--shards", "1.5"], 2, "'1.5' in --shards is none of the whole numbers from 1 to 1,024"),
        (["--shards", "0"], 2, "'0' in --shards"),
        (["--runs", "0"], 2, "--runs"),
        (["--orders", "0"], 2, "--orders"),
        (["--rate-s", "inf"], 2, "--rate-s"),
        (["--seed", "-1"], 2, "--seed"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_begins(arguments, code, told, monkeypatch):
    """In one line."""
    monkeypatch.setattr(bench, "Turn", None)
    done = CliRunner().invoke(app, ["bench", *arguments])
    assert done.exit_code == code
    assert told in " ".join(done.output.replace("│", " ").split())


def test_a_stack_that_does_not_come_up_is_told_and_leaves_nothing(monkeypatch, tmp_path):
    """Its own words are passed on; the stack is taken down all the same, and its home is gone."""
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
    asked: list[str] = []

    def larder(self, env, *arguments, hear=None):
        asked.append(arguments[0])
        assert env["LARDER_HOME"] == str(tmp_path / "larder-bench-home-")
        assert env["LARDER_SHARDS"] == "8"
        assert "LARDER_KAFKA" not in env
        return Told(int(arguments[0] == "up"), [], ["larder: no broker"])

    monkeypatch.setenv("LARDER_KAFKA", "somebody.else:9092")
    monkeypatch.setattr(Version, "larder", larder)
    with pytest.raises(LoadError, match="`larder up` of old ended with exit code 1:\nlarder: no broker"):
        Turn(Version("old", "", ROOT, ROOT), 8, (), print).take(Plan(10, 0), 1, audit=True)
    assert asked == ["up", "down"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("audit", "died", "told"),
    [
        (1, (), "`larder audit` of old ended with exit code 1:\n1 violation: 9 orders"),
        (0, ("order", "kafka"), "order, kafka of old died while it was measured"),
        (0, (), None),
    ],
)
def test_figures_of_a_larder_that_is_not_well_are_refused(audit, died, told, monkeypatch, tmp_path):
    """What the audit finds wrong, and what died and came back; the stack is down in any case."""
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
    asked: list[str] = []
    lives = {"order": 1, "risk": 1, "kafka": 1}

    def larder(self, env, *arguments, hear=None):
        asked.append(arguments[0])
        wrong = audit if arguments[0] == "audit" else 0
        return Told(wrong, ["1 violation: 9 orders"] if wrong else [], [])

    def idle(self):
        lives.update(dict.fromkeys(died, 2))
        return {"order": 1.0}, {"order": 90.0}

    def stack(self):
        return Stack({}, Identity(9, 9), "", True, {name: Identity(1, life) for name, life in lives.items()})

    monkeypatch.setattr(Version, "larder", larder)
    monkeypatch.setattr(Turn, "_stack", stack)
    monkeypatch.setattr(Turn, "_idle", idle)
    monkeypatch.setattr(Turn, "_load", lambda self, orders, rate, seed: ({"broker": "b", "database": "d"}, load(rate)))
    old = Turn(Version("old", "", ROOT, ROOT), 1, (), print)
    if told:
        with pytest.raises(LoadError, match=told):
            old.take(Plan(10, 5), 1, audit=True)
    else:
        figures = old.take(Plan(10, 5, (20, 100)), 1, audit=True)
        assert [one["rate"] for one in figures["loads"]] == [None, 20, 100]
        assert figures["idle_percent"] == {"order": 1.0}
    assert (asked[0], asked[-1]) == ("up", "down")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.stack
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
def test_a_bench_for_real(monkeypatch, tmp_path):
    """HEAD in a worktree of its own against this checkout: two stacks, one after the other, and all figures of both."""
    if missing := why_not():
        pytest.skip(f"no broker to be had: {missing}")
    monkeypatch.setattr(turn, "SETTLE_S", 0.5)
    monkeypatch.setattr(turn, "IDLE_S", 1.0)
    monkeypatch.setitem(turn.SETTINGS, "LARDER_PAYMENT_WINDOW_S", "4")
    monkeypatch.setitem(turn.SETTINGS, "LARDER_AFTER_SALES_WINDOW_S", "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    handler = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(
        app, ["bench", "--against", "HEAD", "--orders", "60", "--warm", "0", "--runs", "1", "--json"]
    )
    signal.signal(signal.SIGTERM, handler)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.strip().splitlines()[-1])
    assert len(told["runs"]) == 2
    for one in told["runs"]:
        (fast,) = one["loads"]
        assert fast["orders"] == 60
        assert fast["lives_per_s"] > 0
        services = {"order", "inventory", "risk", "payment", "logistics", "aftersales"}
        assert services | {f"{service} database" for service in services} | {"kafka", "load"} <= set(fast["cpu_us"])
        assert min(fast["cpu_us"][part] for part in ("order", "kafka", "load")) > 0
        assert all(fast["messages_per_batch"][service] >= 1 for service in services)
        assert one["resident_mib"]["order"] > 20
        assert one["audited"]
    assert list(tmp_path.iterdir()) == []
