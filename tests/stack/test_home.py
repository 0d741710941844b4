"""The home folder: secrets only for their owner, ports that stay."""

import errno
import os
import socket
from pathlib import Path

import pytest

from larder.stack import home as home_module
from larder.stack.errors import StackError
from larder.stack.home import PORT_RANGE, Home, appending, port_is_free, write_private


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    """A secret must survive a restart, and nobody else may read it."""
    home = Home.at(tmp_path)
    secret = home.secret("token.secret")
    assert len(secret) == 64
    assert Home.at(tmp_path).secret("token.secret") == secret
    assert (tmp_path / "token.secret").stat().st_mode & 0o777 == 0o600


def test_each_part_keeps_a_port_of_its_own(tmp_path: Path) -> None:
    """A restarted broker must be found where it was."""
    home = Home.at(tmp_path)
    ports = [home.port(name) for name in ("postgres", "kafka", "kafka-controller")]
    assert len(set(ports)) == 3
    assert all(port in PORT_RANGE for port in ports)
    assert [Home.at(tmp_path).port(name) for name in ("postgres", "kafka", "kafka-controller")] == ports


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    """Two servers must not be sent to one port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not port_is_free(port)
    assert port_is_free(port)


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The message must name the folder and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="LARDER_HOME="):
        Home.at(tmp_path / "file" / "home")


def test_a_log_that_grew_large_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs must not fill the disk of a stack that runs for long."""
    monkeypatch.setattr(home_module, "LOG_KEPT_BYTES", 10)
    log = Home.at(tmp_path).log("order")
    log.write_text("more than ten bytes")
    with appending(log):
        assert log.read_text() == ""
    assert log.with_name("order.log.1").read_text() == "more than ten bytes"


def test_where_there_can_be_no_log_there_is_none(tmp_path: Path) -> None:
    """A service has to be started although nothing it says can be kept."""
    (tmp_path / "file").write_text("")
    with appending(tmp_path / "file" / "order.log") as log:
        assert os.write(log, b"lost") == 4


def test_what_could_not_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays as it was, without a half of a new one beside it."""
    write_private(tmp_path / "stack.json", "old")

    def no_space(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "stack.json", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    with pytest.raises(StackError, match=r"token\.secret cannot be written: No space left on device"):
        Home(tmp_path).secret("token.secret")
