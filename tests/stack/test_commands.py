"""The command line as people meet it: plain lines for what goes wrong, no traceback, the promised last line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from larder.stack.home import Home
from shared import tokens
from shared.settings import Settings
from tests.disks import make_read_only, small_disk

SECRET = "a secret of more than 32 characters"


def larder(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "larder.cli", *arguments],
        env={**os.environ, "LARDER_HOME": str(home), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_token_is_the_last_line(tmp_path: Path) -> None:
    """Scripts take the last line as it is."""
    done = larder(tmp_path, "token", "--role", "courier", "--store", "s-1", "--name", "jo", LARDER_TOKEN_SECRET=SECRET)
    claims = tokens.read(Settings(token_secret=SECRET), done.stdout.splitlines()[-1])
    assert (claims.role, claims.store, claims.name) == ("courier", "s-1", "jo")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("token", "--role", "king"), "there is no role 'king'; the roles are customer"),
        (("token", "--role", "customer"), "names its account"),
        (("token", "--role", "customer", "--account", "a-1", "--name", "jo"), "no person who works here"),
        (("token", "--role", "picker", "--name", "Jo M."), "the person 'Jo M.' is no name"),
        (("topics",), "no broker is known: run `larder up`"),
        (("parked", "list"), "no database is known: run `larder up`"),
        (("parked", "show", "nonsense"), "is no id of a parked message"),
        (("migrate",), "no database is known"),
        (("customer", "erase", "a-1"), "no database is known"),
        (("customer", "erase", " \n"), "' \\n' is none that can order"),
    ],
)
def test_what_goes_wrong_is_told_in_a_line(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    """The reader must learn what to do, on standard error, with exit code 1 and without a traceback."""
    done = larder(tmp_path, *arguments, LARDER_TOKEN_SECRET=SECRET)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["status", "down", "doctor"])
def test_looking_makes_nothing(tmp_path: Path, command: str) -> None:
    """A question about a stack that never was must not leave a home behind in the folder it was asked in."""
    home = tmp_path / "home"
    assert larder(home, command).returncode == (1 if command == "status" else 0)
    assert not home.exists()


@pytest.mark.parametrize("command", ["up", "up --detach", "demo", "topics --adopt"])
def test_who_must_write_to_a_home_that_is_read_only_says_so_in_a_line(tmp_path: Path, command: str) -> None:
    """The home is named, with what to do, before anything is tried."""
    with small_disk(tmp_path, 1):
        Home.at(tmp_path)
        make_read_only(tmp_path)
        done = larder(tmp_path, *command.split())
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"larder: LARDER_HOME={tmp_path} cannot be written to: make it writable, or choose another"
    ]


@pytest.mark.parametrize(
    ("command", "status"), [("status", 1), ("status --json", 1), ("down", 0), ("doctor", 1), ("token --role admin", 0)]
)
def test_who_only_looks_can_do_with_a_home_that_is_read_only(tmp_path: Path, command: str, status: int) -> None:
    """There is something to look at; only the doctor finds that it cannot stay so."""
    with small_disk(tmp_path, 64):
        Home.at(tmp_path)
        make_read_only(tmp_path)
        done = larder(tmp_path, *command.split(), LARDER_TOKEN_SECRET=SECRET)
    assert done.returncode == status
    assert done.stdout
    assert not done.stderr
    assert ("cannot be written to" in done.stdout) == (command == "doctor")


def test_a_full_disk_is_told_by_all_who_look(tmp_path: Path) -> None:
    """`status`, `status --json` and `doctor` name it, and nothing is started on it."""
    with small_disk(tmp_path, 1):
        assert "disk full: " in larder(tmp_path, "status").stdout
        disk = json.loads(larder(tmp_path, "status", "--json").stdout)["disk"]
        doctor = larder(tmp_path, "doctor")
        up = larder(tmp_path, "up", "--detach")
    assert disk["full"]
    assert disk["free_bytes"] <= 2**20
    assert doctor.returncode == 1
    assert "!!  disk       disk full: " in doctor.stdout
    assert up.returncode == 1
    assert "disk full: " in up.stderr
    assert "Traceback" not in up.stderr


def test_a_setting_that_makes_no_sense_is_told_in_lines(tmp_path: Path) -> None:
    """The setting and what is wrong with it must be named."""
    done = larder(tmp_path, "doctor", LARDER_SHARDS="none")
    assert done.returncode == 1
    assert "LARDER_SHARDS" in done.stderr
    assert "Traceback" not in done.stderr
