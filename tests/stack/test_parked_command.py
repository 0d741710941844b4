"""`larder parked`: looks at what is parked and hands requests to the owning worker, here a stand-in."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from larder.commands import parked, parked_filter
from larder.stack.errors import StackError
from shared.runtime.parked import Action, Filter, Wish
from shared.settings import Settings

pytestmark = pytest.mark.parts

OPEN = Filter()


@pytest.fixture
async def book(migrated: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Connection]:
    """The order service's database, with nothing parked before and after."""
    monkeypatch.setattr(parked, "get_settings", lambda: migrated)
    monkeypatch.setattr(parked, "PATIENCE_S", 5)
    connection = await asyncpg.connect(migrated.dsn("order"))
    empty = "truncate parked, parked_requests restart identity"
    await connection.execute(empty)
    yield connection
    await connection.execute(empty)
    await connection.close()


async def park(book: asyncpg.Connection, body: bytes | None) -> str:
    """Parks a message and returns its id as the command line writes it."""
    headers = json.dumps([["ce_type", base64.b64encode(b"PlaceOrder").decode()]])
    number = await book.fetchval(
        """
        insert into parked (shard, subject, topic, kafka_partition, kafka_offset, message_id, message_type, key,
            headers, body, code, reason, parked_at)
        values (0, 'o-1', 'order.commands', 0, 7, 'm-1', 'PlaceOrder', 'o-1', $1, $2, 'undecodable', 'no JSON', now())
        returning id""",
        headers,
        body,
    )
    return f"order:{number}"


async def listed(services: list[str], wanted: Filter = OPEN, most: int = 1_000) -> list[dict[str, Any]]:
    """What the command lists."""
    rows: list[dict[str, Any]] = []
    await parked._list(services, wanted, most, rows.append)
    return rows


async def work(book: asyncpg.Connection) -> None:
    """Does what the owning worker does with the first request that comes."""
    while True:
        # Both at once, as the worker does it: the command looks meanwhile.
        row = await book.fetchrow(
            """with request as (delete from parked_requests returning parked_id, action)
            update parked set state = case action when 'replay' then 'replayed' else 'dropped' end
            from request where id = parked_id returning id"""
        )
        if row:
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("body", "shown"), [(b'{"a": 1}', '{"a": 1}'), (b"\xff\x00", {"base64": "/wA="}), (None, None), (b"", "")]
)
async def test_any_body_can_be_shown(book: asyncpg.Connection, body: bytes | None, shown: object) -> None:
    """Text as text, bytes as base64, a tombstone as nothing: what parked must be seen, as JSON too."""
    parked_id = await park(book, body)
    told = await parked._show(parked_id)
    assert told["body"] == shown
    assert told["headers"] == [["ce_type", "PlaceOrder"]]
    assert json.loads(json.dumps(told)) == told
    assert [row["id"] for row in await listed(["order", "risk"])] == [parked_id]


@pytest.mark.parametrize(("action", "state"), [("replay", "replayed"), ("drop", "dropped")])
async def test_a_request_is_carried_out_by_the_worker(book: asyncpg.Connection, action: Action, state: str) -> None:
    """The command must wait for the worker, tell the new state, and list the message no longer."""
    parked_id = await park(book, b"")
    told, _ = await asyncio.gather(parked._ask(parked_id, Wish(action, "jo")), work(book))
    assert told == {"id": parked_id, "state": state}
    assert await listed(["order"]) == []
    assert [row["state"] for row in await listed(["order"], Filter(state=None))] == [state]
    with pytest.raises(StackError, match=f"is {state} already"):
        await parked._ask(parked_id, Wish(action, "jo"))


async def test_a_request_that_nobody_carries_out_is_told(
    book: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a worker the command must come back, and the request must stay for later."""
    monkeypatch.setattr(parked, "PATIENCE_S", 0.3)
    parked_id = await park(book, b"")
    with pytest.raises(StackError, match="the request stays"):
        await parked._ask(parked_id, Wish("replay", "jo"))
    assert await book.fetchval("select action from parked_requests") == "replay"


@pytest.mark.parametrize(
    "parked_id", ["12", "order:", "order:x", "order:-1", f"order:{2**63}", "orders:1", "order:999"]
)
async def test_ids_that_name_nothing_are_refused(book: asyncpg.Connection, parked_id: str) -> None:
    """A misspelt id must not reach the database as an error of its own."""
    with pytest.raises(StackError):
        await parked._show(parked_id)


DAY = timedelta(days=1)
NOW = datetime.now(UTC)


async def park_many(book: asyncpg.Connection, count: int, **columns: Any) -> None:
    """Parks so many that are alike."""
    has = {"code": "no_cell", "message_type": "T", "subject": "o-1", "parked_at": NOW, "state": "parked", **columns}
    await book.execute(
        """insert into parked (shard, topic, kafka_partition, kafka_offset, message_id, headers, reason,
            code, message_type, subject, parked_at, state)
        select 0, 't', 0, n, 'm', '[]', '', $2, $3, $4, $5, $6 from generate_series(1, $1) n""",
        count,
        *has.values(),
    )


async def work_on(book: asyncpg.Connection, *, not_: str = "") -> None:
    """Does what the owning worker does with all requests, a few at a time; those of one subject park again."""
    while True:
        taken = await book.fetch(
            """with requests as (
                delete from parked_requests where parked_id in (
                    select parked_id from parked_requests order by 1 limit 300) returning parked_id, action),
            done as (update parked set state = case action when 'replay' then 'replayed' else 'dropped' end
                from requests where id = parked_id and subject <> $1)
            select * from requests""",
            not_,
        )
        if taken and not await book.fetchval("select count(*) from parked_requests"):
            return
        await asyncio.sleep(0.01)


async def run(*arguments: str) -> tuple[int, list[str]]:
    """The command as people call it, without a terminal: its exit code and what it says."""
    done = await asyncio.to_thread(CliRunner().invoke, parked.group, list(arguments))
    return done.exit_code, [*done.output.splitlines(), *([str(done.exception)] if done.exception else [])]


async def test_all_that_match_can_be_listed(book: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, each once; the summary counts what is not shown, of every service."""
    monkeypatch.setattr(parked_filter, "PAGE", 7)
    await park_many(book, 1_205)
    assert [row["id"] for row in await listed(["order"])] == [f"order:{n}" for n in range(1, 1_001)]
    code, told = await run("list", "--service", "order")
    assert (code, len(told)) == (0, 401)
    assert told[-1] == "200 listed of 1,205 (order 1,205): --limit 0 lists all"
    code, told = await run("list", "--limit", "0")
    assert (code, told[-1], len(told)) == (0, "1,205 listed", 2_411)
    code, told = await run("list", "--limit", "3", "--json")
    assert [row["id"] for row in json.loads(told[0])] == ["order:1", "order:2", "order:3"]
    assert told[1] == "3 listed of 1,205 (order 1,205): --limit 0 lists all"


async def test_each_filter_narrows(book: asyncpg.Connection) -> None:
    """Of messages that differ in one thing each, a filter finds the one that is so, and all filters together none."""
    different: dict[str, tuple[str, dict[str, Any]]] = {
        "--code": ("malformed", {"code": "malformed"}),
        "--type": ("PlaceOrder", {"message_type": "PlaceOrder"}),
        "--subject": ("o-2", {"subject": "o-2"}),
        "--since": ((NOW + DAY / 2).isoformat(), {"parked_at": NOW + DAY}),
        "--before": ((NOW - DAY / 2).isoformat(), {"parked_at": NOW - DAY}),
        "--state": ("dropped", {"state": "dropped"}),
    }
    for _, columns in different.values():
        await park_many(book, 1, **columns)
    for number, (option, (value, _)) in enumerate(different.items(), 1):
        code, told = await run("list", option, value, "--json")
        assert code == 0, told
        assert [row["id"] for row in json.loads(told[0])] == [f"order:{number}"], option
    code, told = await run("list", *(text for o, (value, _) in different.items() for text in (o, value)))
    assert (code, told) == (0, ["nothing matches"])
    assert len(await listed(["order"], Filter(state=None))) == len(different)


@pytest.mark.parametrize("action", ["drop", "replay"])
async def test_what_matches_is_asked_for_together(book: asyncpg.Connection, action: str) -> None:
    """With --yes all of them, told with their count, and nothing else; without a terminal and --yes nothing at all."""
    await park_many(book, 1_162, code="malformed")
    await park_many(book, 3)
    await park_many(book, 5, code="malformed", state="dropped")
    code, told = await run(action, "--code", "malformed")
    assert (code, told[-1]) == (1, f"this {action}s 1,162 messages (order 1,162): say --yes to do it")
    assert await book.fetchval("select count(*) from parked_requests") == 0
    (code, told), _ = await asyncio.gather(run(action, "--code", "malformed", "--yes"), work_on(book))
    assert (code, told) == (0, [f"order: 1,162 {parked.DONE[action]}"])
    assert len(await listed(["order"])) == 3


async def test_what_parks_again_is_told(book: asyncpg.Connection) -> None:
    """How many, and with an exit code."""
    await park_many(book, 4, subject="o-1")
    await park_many(book, 2, subject="o-2")
    replayed = run("replay", "--service", "order", "--yes", "--json")
    (code, told), _ = await asyncio.gather(replayed, work_on(book, not_="o-2"))
    assert code == 1
    assert json.loads(told[0]) == {"order": {"asked": 6, "done": 4}}


async def test_a_filter_that_matches_nothing_is_no_error(book: asyncpg.Connection) -> None:
    """There is nothing to do."""
    assert await run("drop", "--code", "malformed", "--yes") == (0, ["nothing that is parked matches"])


async def test_requests_of_a_filter_that_nobody_carries_out_are_told(
    book: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a worker the command must come back, and the requests must stay for later."""
    monkeypatch.setattr(parked, "PATIENCE_S", 0.3)
    await park_many(book, 4)
    code, told = await run("drop", "--service", "order", "--yes")
    assert code == 1
    assert "the requests stay" in told[-1]
    assert await book.fetchval("select count(*) from parked_requests where action = 'drop'") == 4


@pytest.mark.parametrize(
    "arguments", [["drop"], ["replay"], ["drop", "order:1", "--code", "malformed"], ["drop", "--yes"]]
)
async def test_ids_or_a_filter(book: asyncpg.Connection, arguments: list[str]) -> None:
    """Neither or both make no sense: never is everything dropped because nothing was named."""
    code, _ = await run(*arguments)
    assert code == 2


async def test_who_asks_and_why_are_kept_and_shown(book: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the request, by ids and by a filter, until the worker has carried it out; then on the message."""
    monkeypatch.setattr(parked, "PATIENCE_S", 0.2)
    monkeypatch.setattr(parked, "who", lambda: "jo@desk")
    await park_many(book, 1, code="malformed")
    await park_many(book, 2)
    assert (await run("drop", "order:1", "--reason", "no order of ours"))[0] == 1
    assert (await run("replay", "--code", "no_cell", "--yes", "--reason", "mended"))[0] == 1
    kept = "select parked_id, action, asked_by, asked_because from parked_requests order by 1"
    assert [tuple(row) for row in await book.fetch(kept)] == [
        (1, "drop", "jo@desk", "no order of ours"),
        (2, "replay", "jo@desk", "mended"),
        (3, "replay", "jo@desk", "mended"),
    ]
    await book.execute(
        "update parked set state = 'dropped', closed_at = $1, closed_by = 'jo@desk', closed_because = 'x' where id = 1",
        NOW,
    )
    code, told = await run("show", "order:1")
    assert code == 0
    lines = {name: value.strip() for name, _, value in (line.partition(" ") for line in told)}
    assert (lines["closed_by"], lines["closed_because"], lines["closed_at"]) == ("jo@desk", "x", NOW.isoformat())


@pytest.mark.parametrize("reason", ["x" * 501, "half a pair \udcff"])
async def test_a_reason_that_cannot_be_kept_is_refused(book: asyncpg.Connection, reason: str) -> None:
    """Before anything is asked."""
    await park_many(book, 1)
    code, _ = await run("drop", "order:1", "--reason", reason)
    assert code == 1
    assert await book.fetchval("select count(*) from parked_requests") == 0
