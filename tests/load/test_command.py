"""`larder load` and `larder demo`: what they refuse, and how they say it."""

import os
from collections import Counter
from typing import cast
from unittest.mock import AsyncMock, Mock

import pytest
from typer.testing import CliRunner

from larder.cli import app
from larder.commands import demo, load
from larder.load.display import Plain
from larder.load.figures import Figures
from larder.load.lines import Sender
from larder.load.run import Load
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.process import Identity
from shared.settings import Settings, get_settings


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
        (["--products", "nowhere.csv"], "nowhere.csv cannot be opened"),
        (["--baskets", "."], ". cannot be opened: Is a directory"),
        (["--unpaid-share", "2"], "the unpaid share 2 is not between 0 and 1"),
        (["--cancel-share", "0.6", "--declined-share", "0.6"], "more than all orders"),
        (["--crowd", "5"], "a crowd comes to a flash sale: --flash says of how many pieces"),
        (["--flash", "5"], "a flash sale needs a crowd: --crowd says how many customers come"),
        (["--flash", "5", "--crowd", "4"], "a crowd of 4 cannot buy 5 pieces, one each"),
        (["--flash", "5", "--crowd", "5", "--adversary-share", "0.1"], "a flash sale has a crowd of its own"),
    ],
)
def test_what_cannot_be_played_is_said_and_nothing_is_sent(arguments, told):
    """A mistake in the options or the file ends in one line and exit code 1, before anything is sent."""
    done = CliRunner().invoke(app, ["load", "--orders", "5", *arguments])
    assert done.exit_code == 1
    assert f"larder: {told}" in done.output or told in done.output
    assert "Traceback" not in done.output


def test_a_load_without_orders_is_refused():
    """Only with a flash sale there is a number that goes without saying."""
    done = CliRunner().invoke(app, ["load"])
    assert done.exit_code == 1
    assert "how many orders? --orders says it" in done.output


@pytest.mark.parametrize("option", ["--flash", "--crowd", "--orders"])
@pytest.mark.parametrize("number", ["0", "-1", "some", "nan", "1000000000000"])
def test_numbers_out_of_bounds_are_refused(option, number):
    """Nothing, less than nothing, no number, and more than anybody could want."""
    options = {"--flash": "1", "--crowd": "1", "--orders": "1", option: number}
    done = CliRunner().invoke(app, ["load", *(word for pair in options.items() for word in pair)])
    assert done.exit_code == 2
    assert "Invalid value" in done.output
    assert option in done.output


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


class PlayedOut:
    """A load that has run: nothing is stuck."""

    run_id = "1xa"
    stuck: tuple[str, ...] = ()
    settings = Settings()
    figures = Figures()
    watch = None
    robots = Mock(refused=Counter(), resends=0, placed=3)

    async def run(self) -> None:
        """Nothing more."""

    def promotions_told(self) -> dict[str, object]:
        """There were none."""
        return {}


@pytest.mark.parametrize(("own", "code"), [({}, 0), ({"PayOrder: no_cell": 2, "PlaceOrder: malformed": 1}, 1)])
def test_commands_of_its_own_that_parked_are_a_failure(own, code, monkeypatch, capsys):
    """All orders may have ended: a robot's command that nobody could handle is told, counted, and no success."""
    monkeypatch.setattr(load, "database_name", AsyncMock(return_value="postgresql"))
    monkeypatch.setattr(load, "own_parked", AsyncMock(return_value=Counter(own)))
    done, told = load.play_and_audit(cast(Load, PlayedOut()), Plain(), with_audit=False)
    assert (done, told["parked"]) == (code, sum(own.values()))
    assert ("COMMANDS PARKED" in load.in_words(told, Figures(), "EUR")) == bool(code)
    assert ("parked 2 times: PayOrder: no_cell" in capsys.readouterr().err) == bool(code)


def test_more_orders_than_a_receipt_can_bring_goods_for_are_refused(monkeypatch, tmp_path):
    """The goods for so many plays of one basket would park: said before anything is sent."""
    monkeypatch.setattr(load, "database_name", AsyncMock(return_value="postgresql"))
    monkeypatch.setattr(Sender, "__aenter__", AsyncMock())
    monkeypatch.setattr(Sender, "__aexit__", AsyncMock(return_value=None))
    baskets = tmp_path / "baskets.csv"
    baskets.write_text("placed_at,basket,account,store,spu,quantity,unit_price\nt,b,a,s,apple,1000,1\n")
    done = CliRunner().invoke(app, ["load", "--orders", "10000", "--baskets", str(baskets)])
    assert done.exit_code == 1
    assert "a goods receipt takes at most 10,000,000" in done.output
