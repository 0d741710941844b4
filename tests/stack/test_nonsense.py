"""Nonsense given to every command, option and setting: a sentence, an exit code that is not 0, and no traceback."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import typer
from pydantic import TypeAdapter, ValidationError
from typer.testing import CliRunner, Result

from larder.cli import app
from larder.stack.errors import StackError
from shared import tokens
from shared.contracts.base import Account
from shared.settings import SERVICES, Settings, get_settings
from tests.hostile import HOSTILE, acting

NOWHERE = "127.0.0.1:1"
"""Nobody listens there."""
NUMBERS = ("nan", "inf", "-inf", "1e308", "-1e308", "9" * 40, "-" + "9" * 40, "0x10", "1_0 0", "", "many", "\x1b[2J")
TEXTS = ("", " ", "\x00", "\x1b[2J", "a" * 5000, "../../etc", "order:", "order:-1", "order:" + "9" * 40, "king:1")
ACCOUNT = TypeAdapter(Account)
NAMES = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:@+-]{0,63})?")


def _is_account(text: str) -> bool:
    try:
        ACCOUNT.validate_python(text)
    except ValidationError:
        return False
    return True


MAY: dict[tuple[str, str], Callable[[str], object]] = {
    ("token", "--account"): lambda text: not text or _is_account(text),
    ("token", "--store"): NAMES.fullmatch,
    ("token", "--name"): NAMES.fullmatch,
}
"""What makes sense after all, by command and option."""
MAY_BE_WRITTEN = {("bench", "--keep")}
"""Options that make a file where there is none."""
NEEDED = {
    "risk replay": ("--since", "2026-11-22T18:00:00Z"),
    "load": ("--orders", "5"),
    "token": ("--role", "admin"),
    "parked show": ("order:1",),
    "parked replay": ("order:1",),
    "parked drop": ("order:1",),
}
GOOD = b"placed_at,basket,account,store,spu,quantity,unit_price\n" + b"".join(
    b"t,b%d,a-1,s-1,apple,2,250\n" % n for n in range(2000)
)


def commands(group: Any = None, *names: str) -> Iterator[tuple[str, Any]]:
    """Every command of larder with its name."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name)), command


def options(*kinds: str) -> list[tuple[str, str]]:
    """Every option and argument of these kinds: its command, and how it is written."""
    return [
        (name, max(parameter.opts, key=len) if parameter.opts[0].startswith("-") else "")
        for name, command in commands()
        for parameter in command.params
        if parameter.name != "help" and any(kind in str(parameter.type_descriptor.annotation) for kind in kinds)
    ]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home in which nothing runs, a broker and a database that are down."""
    monkeypatch.setenv("LARDER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LARDER_KAFKA", NOWHERE)
    monkeypatch.setenv("LARDER_DATABASE", f"postgresql://{{service}}@{NOWHERE}/{{service}}")
    monkeypatch.setenv("LARDER_TOKEN_SECRET", "a secret of more than 32 characters")
    get_settings.cache_clear()
    yield tmp_path / "home"
    get_settings.cache_clear()


def refused(*arguments: str, code: int | None = None) -> Result:
    """Calls a command, which must refuse in plain words."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code != 0, (arguments, done.output)
    assert done.exit_code == code or code is None, (arguments, done.output)
    assert "Traceback" not in done.output, done.output
    assert done.output.strip(), arguments
    assert "\x1b" not in done.output
    return done


@pytest.mark.parametrize(("command", "option"), options("int", "float"))
def test_a_number_that_makes_no_sense_is_refused(command: str, option: str) -> None:
    """No number of any option is taken without a look at whether it is one, and within bounds."""
    for number in NUMBERS:
        refused(*command.split(), *NEEDED.get(command, ()), f"{option}={number}")


@pytest.mark.parametrize(("command", "option"), [o for o in options("str") if o[0] != "up"])
def test_a_text_that_makes_no_sense_is_refused(command: str, option: str) -> None:
    """Ids, roles, names, ranges: each is looked at before anything is done with it."""
    needed = () if not option else NEEDED.get(command, ())
    for text in TEXTS:
        if (command, option) in MAY and MAY[command, option](text):
            continue
        refused(*command.split(), *needed, *([f"{option}={text}"] if option else ["--", text]))


def files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files that cannot be played, and a word that must be told of each."""
    packed = gzip.compress(GOOD)
    middle = len(packed) // 2
    contents = {
        "empty": (b"", "is empty"),
        "empty.gz": (gzip.compress(b""), "is empty"),
        "half.gz": (packed[:middle], "damaged after line"),
        "end.gz": (packed[:-4], "damaged after line"),
        "middle.gz": (packed[:middle] + b"\xff\xff\xff\xff" + packed[middle + 4 :], "line "),
        "sum.gz": (packed[:-8] + b"\0\0\0\0" + packed[-4:], "damaged after line"),
        "head.gz": (b"\x1f\x8b\xff\xff", "damaged after line 0"),
        "utf-16": (GOOD.decode().encode("utf-16"), "line 1: this looks like UTF-16"),
        "utf-16-le": (GOOD.decode().encode("utf-16-le"), "line 1: this looks like UTF-16"),
        "latin-1": (GOOD + b"t,last,a-1,s-1,caf\xe9,2,250\n", "line 2002: not UTF-8 text (byte 0xe9"),
        "semicolons": (GOOD.replace(b",", b";"), "line 1: its columns are parted by semicolons"),
        "tabs": (GOOD.replace(b",", b"\t"), "line 1: its columns are parted by tabs"),
        "zeros": (b"\0" * 1_000_000, "line 1: this looks like UTF-16"),
        "endless": (b"a" * 1_000_000, "line 1: longer than"),
        "price": (GOOD + b"t,last,a-1,s-1,pear,2,0\n", "line 2002: unit_price '0'"),
        "price-max": (GOOD + b"t,last,a-1,s-1,pear,2,1000000000001\n", "line 2002: unit_price '1000000000001'"),
        "quotes": (GOOD + b'"never closed', "line 2002"),
        "titles": (b"\x1b[2J,b\n1,2\n", "no column"),
        "titles-only": (GOOD.split(b"\n")[0], "holds no basket"),
    }
    for name, (content, told) in contents.items():
        path = folder / name
        path.write_bytes(content)
        yield path, told
    yield folder, "Is a directory"
    yield folder / "nowhere", "No such file"
    yield folder / "empty" / "below", "Not a directory"
    yield Path("/proc/self/mem"), ""


@pytest.mark.parametrize("command", ["load", "demo"])
def test_a_file_of_baskets_that_cannot_be_played_is_named_with_its_line(command: str, tmp_path: Path) -> None:
    """The last row counts as the first: the file is read to its end before anything is sent or started."""
    for path, told in files(tmp_path):
        done = refused(command, "--orders", "1", f"--baskets={path}", code=1)
        line = done.stderr.splitlines()[-1]
        assert str(path) in line
        assert told in line, (path, line)


def test_every_other_file_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """Whatever an option that takes a path is given, it says what is wrong with it."""
    paths = [o for o in options("Path") if o[1] != "--baskets"]
    assert ("load", "--products") in paths
    for command, option in paths:
        for path, _ in files(tmp_path):
            if (command, option) in MAY_BE_WRITTEN and path.parent.is_dir() and not path.exists():
                continue
            refused(*command.split(), *NEEDED.get(command, ()), f"{option}={path}", code=1)


@pytest.mark.parametrize("setting", [name for name in Settings.model_fields if name != "home"])
def test_a_setting_that_makes_no_sense_is_named_in_one_sentence(
    setting: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment and from stack.json alike; `larder status` reads all settings."""
    field = Settings.model_fields[setting]
    if "str" in str(field.annotation) and not field.metadata and "Literal" not in str(field.annotation):
        pytest.skip("any text is one; what it leads to is tried elsewhere")
    if "Path" in str(field.annotation):
        pytest.skip("any text is one")
    name = f"LARDER_{setting.upper()}"
    for nonsense in ("nonsense", "\x1b[2J", "-" + "9" * 400, "nan", "inf" if "float" in str(field.annotation) else "½"):
        monkeypatch.setenv(name, nonsense)
        line = one_line(refused("status", code=1))
        assert line.startswith(f"larder: {name} is ")
    monkeypatch.delenv(name)
    home.mkdir()
    (home / "stack.json").write_text(json.dumps({setting: ["\x1b[2J"]}))
    assert f"{setting} in stack.json" in one_line(refused("status", code=1))


def one_line(done: Result) -> str:
    """What was said, which must be one line."""
    (line,) = done.stderr.strip("\n").split("\n")
    return line


@pytest.mark.parametrize(
    "kafka", ["nonsense", "127.0.0.1", "127.0.0.1:", ":9092", "127.0.0.1:99999", "a:b", ",", "\x1b:1"]
)
def test_an_address_that_is_none_is_named(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any client tries to make sense of it."""
    monkeypatch.setenv("LARDER_KAFKA", kafka)
    for command in (("topics",), ("load", "--orders", "5"), ("demo",)):
        assert "must be host:port[,host:port]" in one_line(refused(*command, code=1))


@pytest.mark.parametrize(
    "dsn",
    ["nonsense", "postgresql://", "postgresql://a@127.0.0.1:99999/x", "postgresql://a@[::/x", "mysql://a@b/c", " "],
)
def test_a_database_that_cannot_be_reached_is_told(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a client raises at a DSN, the reader gets a sentence."""
    monkeypatch.setenv("LARDER_DATABASE", dsn)
    for command, code in (("migrate", 1), ("parked list", 1), ("load --orders 5 --no-audit", 1), ("audit", 2)):
        refused(*command.split(), code=code)


STACKS = ("", "{", "[]", "5", "null", '"x"', "\xff", '{"supervisor": 5, "processes": []}', "[" * 100_000)


@pytest.mark.parametrize("stack", STACKS)
def test_a_damaged_home_is_told(stack: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in the files that larder wrote for itself, commands say so or pass over it."""
    monkeypatch.delenv("LARDER_KAFKA")
    monkeypatch.delenv("LARDER_DATABASE")
    home.mkdir()
    for name in ("stack.json", "supervisor.json", "ports.json", "failure.txt"):
        (home / name).write_bytes(stack.encode("latin-1"))
    for command in ("status", "topics", "parked list", "audit", "load --orders 5", "migrate"):
        refused(*command.split())
    assert CliRunner().invoke(app, ["down"]).exit_code == 0


@pytest.mark.parametrize("wrong", ["a file", "below a file", "~nobody-of-that-name/x", "/proc/larder", "a" * 300])
@pytest.mark.parametrize("command", ["up", "up --detach", "demo", "migrate", "topics --adopt"])
def test_a_home_that_cannot_be_made_is_told(
    command: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is a file, that nobody may write to, or whose name is none."""
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("LARDER_HOME", str({"a file": file, "below a file": file / "x"}.get(wrong, wrong)))
    monkeypatch.delenv("LARDER_TOKEN_SECRET")
    refused(*command.split(), code=1)


def test_what_is_in_the_way_in_a_home_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder where larder writes a file, as a file system that is read-only, is an error with its path."""
    monkeypatch.delenv("LARDER_TOKEN_SECRET")
    for name in ("token.secret", "supervisor.lock"):
        (home / name).mkdir(parents=True)
    assert str(home / "supervisor.lock") in one_line(refused("up", code=1))
    assert str(home / "token.secret") in one_line(refused("token", "--role", "admin", code=1))


def test_commands_that_do_not_exist_are_told(home: Path) -> None:
    """What was typed is shown as text."""
    refused("\x1b[2J", code=2)
    refused("load", "--\x1b[2J", code=2)
    refused("status", "\x1b[2J", code=2)
    for service in SERVICES:
        refused("parked", "list", f"--service={service}", code=1)
    refused("parked", "list", "--service=\x1b[2J", code=1)


def test_a_stop_from_the_keyboard_is_no_error_to_explain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends any command with the exit code that shells know."""
    monkeypatch.setattr(tokens, "create", Mock(side_effect=KeyboardInterrupt))
    done = CliRunner().invoke(app, ["token", "--role", "admin"])
    assert done.exit_code == 130
    assert not done.output.strip()


def test_errors_of_tasks_side_by_side_are_told_by_the_one_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of errors is not what happened: the leading one of it is."""
    group = ExceptionGroup("tasks", [ValueError("x"), ExceptionGroup("more", [StackError("do this"), OSError()])])
    monkeypatch.setattr(tokens, "create", Mock(side_effect=group))
    assert one_line(refused("token", "--role", "admin", code=1)) == "larder: do this"


def test_a_bug_is_told_as_one_with_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected keeps its traceback, with an exit code of its own and what acts written out."""
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        group = ExceptionGroup("tasks", [error])
    monkeypatch.setattr(tokens, "create", Mock(side_effect=group))
    done = CliRunner().invoke(app, ["token", "--role", "admin"])
    assert done.exit_code == 70
    assert "Traceback (most recent call last):\n" in done.stderr
    assert "ExceptionGroup" not in done.stderr
    assert "this is a bug of larder" in done.stderr.splitlines()[-1]
    assert not acting(done.output)
