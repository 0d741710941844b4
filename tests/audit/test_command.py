"""`larder audit`, as people and programs call it."""

from __future__ import annotations

import asyncio
import json

import pytest
from typer.testing import CliRunner, Result

import larder.commands.audit as command
from shared.settings import Settings
from tests.audit.controls import NOON, ORDERS, World

pytestmark = pytest.mark.parts


@pytest.fixture
def app(books: Settings, monkeypatch: pytest.MonkeyPatch) -> object:
    """The command alone, on the world's books."""
    import typer

    monkeypatch.setattr(command, "get_settings", lambda: books)
    app = typer.Typer()
    command.add_to(app)
    return app


async def run(app: object, *arguments: str) -> Result:
    """Calls it; the command runs a loop of its own, so it gets a thread of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)  # type: ignore[arg-type]


async def test_clean_books_exit_0_and_tell_one_line_of_json(world: World, app: object):
    """Programs read one line: orders, in_flight, violations, parked, checked."""
    done = await run(app, "--json", "--wait-s", "0")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert {"orders", "in_flight", "violations", "parked", "checked"} <= set(told)
    assert (told["orders"], told["violations"]) == (ORDERS, [])
    assert told["checked"]["money_of_phase"] == ORDERS


async def test_violation_exits_1_and_is_named(world: World, app: object):
    """People read the rule, the ids and what was found."""
    await world.break_("inventory", "update cells set on_hand = on_hand + 1 where spu = 'apple'")
    done = await run(app, "--wait-s", "0")
    assert done.exit_code == 1
    assert "VIOLATION cells_are_ledger_sums [s-1 apple]" in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("1 violation")


async def test_parked_messages_and_orders_in_flight_are_shown(world: World, app: object):
    """Nothing is parked unseen, and what has not ended is counted."""
    row = (0, "o-x", "order.commands", 0, 1, "", "Gibberish", "[]", "malformed", "no JSON", NOON)
    await world.add("order", "parked", *row)
    done = await run(app, "--wait-s", "0")
    assert done.exit_code == 0
    assert "parked order:1  Gibberish  o-x  malformed" in done.stdout
    assert "in flight: 2 orders awaiting_payment" in done.stdout
    assert "nothing wrong" in done.stdout


async def test_a_database_that_does_not_answer_exits_2(app: object, books: Settings, monkeypatch: pytest.MonkeyPatch):
    """No look, no verdict."""
    away = Settings(home=books.home, database="postgresql://{service}@127.0.0.1:1/{service}")
    monkeypatch.setattr(command, "get_settings", lambda: away)
    done = await run(app, "--json")
    assert done.exit_code == 2
    assert "the database order does not answer" in done.stderr
    assert done.stdout == ""


async def test_databases_without_tables_exit_2(app: object, books: Settings, monkeypatch: pytest.MonkeyPatch):
    """Where nothing was migrated there is nothing to judge, and the message says what to do."""
    empty = books.model_copy(update={"database": books.database.replace("_{service}", "")})
    monkeypatch.setattr(command, "get_settings", lambda: empty)
    done = await run(app, "--json")
    assert done.exit_code == 2
    assert "larder migrate" in done.stderr
