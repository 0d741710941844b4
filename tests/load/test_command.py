"""`larder load` and `larder demo`: what they refuse, and how they say it."""

import os

import pytest
import typer
from typer.testing import CliRunner

from larder.commands import demo, load
from larder.load.figures import Figures
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.process import Identity
from shared.settings import get_settings

app = typer.Typer()
load.add_to(app)
demo.add_to(app)


@pytest.fixture(autouse=True)
def _settings(monkeypatch, tmp_path):
    monkeypatch.setenv("LARDER_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--baskets", "nowhere.csv"], "nowhere.csv cannot be opened"),
        (["--products", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--unpaid-share", "2"], "the unpaid share 2 is not between 0 and 1"),
        (["--cancel-share", "0.6", "--declined-share", "0.6"], "more than all orders"),
    ],
)
def test_what_cannot_be_played_is_said_and_nothing_is_sent(arguments, told):
    """A mistake in the options or the file ends in one line and exit code 1, before anything is sent."""
    done = CliRunner().invoke(app, ["load", "--orders", "5", *arguments])
    assert done.exit_code == 1
    assert f"larder load: {told}" in done.output or told in done.output
    assert "Traceback" not in done.output


def test_a_far_broker_is_refused(monkeypatch):
    """Nobody's shop elsewhere is filled with robots."""
    monkeypatch.setenv("LARDER_KAFKA", "kafka.example.com:9092")
    get_settings.cache_clear()
    done = CliRunner().invoke(app, ["load", "--orders", "5"])
    assert done.exit_code == 1
    assert "this machine only" in done.output


def test_the_demo_leaves_a_running_stack_alone(monkeypatch, tmp_path):
    """Somebody works with the stack: the demo says so and what to do, and neither uses nor stops it."""
    monkeypatch.setattr("larder.commands.demo.supervisor_of", lambda home: Identity(os.getpid(), 1))
    with pytest.raises(StackError, match="larder load --orders 1000"):
        demo.refuse_running(Home.at(tmp_path))


def test_the_summary_for_people_names_violations_loudly():
    """Clean, not clean and not audited read differently."""
    told = Figures().summary(0, 0, "b", "d")
    assert "found nothing wrong" in load.in_words(told, Figures(), "EUR")
    assert "3 VIOLATIONS" in load.in_words({**told, "violations": 3}, Figures(), "EUR")
    assert "no audit" in load.in_words({**told, "violations": None}, Figures(), "EUR")
