"""Text from outside, through everything of the command line that prints: nothing of it acts on the terminal."""

from __future__ import annotations

import ast
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from larder.audit.report import ParkedMessage, Report, Violation
from larder.cli import app
from larder.commands import audit, doctor, lifecycle, parked, topics
from larder.commands.load import in_words, tell_parked, tell_refusals
from larder.errors import tell
from larder.load.display import Display, OneLine, Plain
from larder.load.errors import FileError
from larder.load.evening import Evening
from larder.load.figures import Figures
from larder.load.mix import Tail
from larder.load.order import Order
from larder.load.play import Ready
from larder.say import say, say_lines
from larder.stack import control
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.topics import TopicNews
from shared.settings import get_settings
from tests.hostile import HOSTILE, acting

ROOT = Path(__file__).parents[2] / "larder"
PRINTERS = {"say.py", "load/display.py", "load/evening.py", "commands/audit.py", "load/cut_sample.py"}
"""The files that print; each is tried below, but for the tool that once cut the sample."""
ROW = {
    **dict.fromkeys(("id", "message_type", "subject", "code", "reason", "body", HOSTILE), HOSTILE),
    "state": "parked",
    "headers": [["ce_id", HOSTILE]],
    "key": None,
}


def test_only_few_files_print() -> None:
    """Whatever prints goes through the functions that write out what acts, or is among those tried here."""
    found = set()
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and _prints(ast.unparse(node.func)):
                found.add(str(file.relative_to(ROOT)))
    assert found == PRINTERS


def _prints(function: str) -> bool:
    return function == "print" or function.endswith(
        ("typer.echo", "secho", "console.print", "std.write", "stderr.write")
    )


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Services, broker and a home that hold nothing but hostile text."""

    async def rows(
        services: object, wanted: object, most: int, show: Callable[[dict[str, Any]], None]
    ) -> dict[str, int]:
        show(ROW)
        return {HOSTILE: most + 1}

    async def row(*_: object) -> dict[str, Any]:
        return ROW

    async def answers(*_: object) -> list[object]:
        return [StackError(HOSTILE), {"id": HOSTILE, "state": HOSTILE}]

    async def news(*_: object) -> list[TopicNews]:
        return [TopicNews(HOSTILE, (1,), {HOSTILE: 2}, 1, 1, 1)]

    async def looked(*_: object) -> Report:
        return report()

    def status(*_: object) -> Callable[..., object]:
        raise StackError(HOSTILE)

    monkeypatch.setattr(parked, "_list", rows)
    monkeypatch.setattr(parked, "_show", row)
    monkeypatch.setattr(parked, "_ask_all", answers)
    monkeypatch.setattr(topics, "news", news)
    monkeypatch.setattr(audit, "audit", looked)
    monkeypatch.setattr(doctor, "programs", status)
    monkeypatch.setenv("LARDER_HOME", str(tmp_path / "".join(c for c in HOSTILE if c not in "\0/" and c.isascii())))
    monkeypatch.setenv("LARDER_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("LARDER_DATABASE", "postgresql://\x1b[2J@127.0.0.1:1/{service}")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def report() -> Report:
    """An audit that found what it should not."""
    found = Report(checked=Counter({HOSTILE: 1}))
    found.violations.append(Violation(HOSTILE, (HOSTILE,), HOSTILE))
    found.parked.append(ParkedMessage(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE))
    found.in_flight.orders[HOSTILE] = 1
    found.in_flight.unsettled = [HOSTILE]
    return found


@pytest.mark.parametrize(
    "command",
    [
        "parked list",
        "parked show order:1",
        "parked replay order:1",
        "parked drop order:1",
        "topics",
        "audit",
        "status",
        "doctor",
        "migrate",
        "down",
        "load --orders 1",
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_no_command_prints_what_acts(command: str, as_json: bool, stand_ins: None) -> None:
    """Rows, topics, groups, names, addresses, homes and errors: shown, and written out; JSON is ASCII."""
    has_json = command.split()[0] in ("parked", "topics", "audit", "status", "load")
    if as_json and not has_json:
        pytest.skip("it has no --json")
    done = CliRunner().invoke(app, [*command.split(), *["--json"] * as_json])
    assert done.output.strip()
    assert not acting(done.output)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    if as_json and done.stdout.strip():
        assert done.stdout.isascii()
        assert json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments",
    [
        [HOSTILE],
        ["load", f"--{HOSTILE}"],
        ["simulate", f"--seeds={HOSTILE}"],
        ["token", f"--ttl-s={HOSTILE}"],
        ["status", HOSTILE],
        ["parked", "show", HOSTILE],
    ],
)
def test_what_was_typed_is_told_written_out(arguments: list[str]) -> None:
    """A command line can come from a script, and its words from a file."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert not acting(done.output)


def test_errors_are_told_written_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Sentences, the ends of logs, files, operating system and bugs."""
    log = tmp_path / "service.log"
    log.write_bytes(HOSTILE.encode("utf-8", "surrogatepass") + b"\nlast line")
    for error in (
        StackError(HOSTILE, log),
        FileError(Path(HOSTILE), HOSTILE, 7),
        FileNotFoundError(2, HOSTILE, HOSTILE),
        ValueError(HOSTILE),
        ExceptionGroup(HOSTILE, [ValueError(HOSTILE)]),
    ):
        tell(error)
    told = capsys.readouterr().err
    assert "\nlast line" in told
    assert not acting(told)


def test_every_way_of_saying_writes_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions that commands print with, and the lines of a supervisor."""
    say(HOSTILE + "\nforged")
    say_lines(HOSTILE + "\nours")

    class Told:
        def __init__(self, home: object, settings: object, say_when: Callable[[str], None]) -> None:
            self._say = say_when

        async def run(self) -> None:
            self._say(HOSTILE)

    monkeypatch.setattr(control, "Supervisor", Told)
    control.run_in_front(Home.seen(Path("nowhere")))
    lifecycle._tell(
        {
            "services": [{"name": HOSTILE, "ready": False, "pid": None, "port": 1}],
            "kafka": {"kind": HOSTILE, "bootstrap": HOSTILE, "pid": None},
            "database": {"dsn": HOSTILE, "pid": None},
            "risk": {"switch": {"on": False, "changed_at": HOSTILE, "changed_by": HOSTILE}, "signals": None},
        }
    )
    told = capsys.readouterr().out
    assert "\nforged" not in told
    assert "\nours" in told
    assert not acting(told)


@pytest.mark.parametrize("kind", ["plain", "line", "evening"])
def test_no_display_of_a_load_shows_what_acts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of files, refusals and names of products; only the display's own sequences come out."""
    stream = io.StringIO()
    console = Console(file=stream, highlight=False, width=4000, height=50)
    displays: dict[str, Callable[[], Display]] = {
        "plain": lambda: Plain(stream),
        "line": lambda: OneLine(console),
        "evening": lambda: Evening({"apple": (HOSTILE, HOSTILE)}, "EUR", console),
    }
    display = displays[kind]()
    with display:
        display.say(HOSTILE)
        tell_refusals(Mock(robots=Mock(refused=Counter({HOSTILE: 1}), resends=0)), display)
        tell_parked(Counter({HOSTILE: 2}), display)
        if isinstance(display, Evening):
            body = msgspec.json.encode({"account": "a", "store": "s", "spus": ["apple"], "quantities": [1]})
            order = Order(b"l-1-1", Ready("s", "a", 1, b"," + body[1:]), Tail.PAYS, 0.0)
            order.basket = Ready("s", "a", 1, b"," + body[1:])
            display.tell(order, b"OrderPayable", 1.0)
            console.print(display._story[0])
    told = stream.getvalue()
    assert "x1b[2j" in told.lower()
    assert not acting(told)


def test_the_summary_of_a_load_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The broker is what LARDER_KAFKA says."""
    say_lines(in_words(Figures().summary(0, 1, HOSTILE, HOSTILE, 1), Figures(), "EUR"))
    assert not acting(capsys.readouterr().out)
