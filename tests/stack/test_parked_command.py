"""`larder parked`: looks at what is parked and hands requests to the owning worker, here a stand-in."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from larder.commands import parked
from larder.stack.errors import StackError
from shared.settings import Settings

pytestmark = pytest.mark.parts


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
    assert [row["id"] for row in await parked._list(["order", "risk"], every=False)] == [parked_id]


@pytest.mark.parametrize(("action", "state"), [("replay", "replayed"), ("drop", "dropped")])
async def test_a_request_is_carried_out_by_the_worker(book: asyncpg.Connection, action: str, state: str) -> None:
    """The command must wait for the worker, tell the new state, and list the message no longer."""
    parked_id = await park(book, b"")
    told, _ = await asyncio.gather(parked._ask(parked_id, action), work(book))
    assert told == {"id": parked_id, "state": state}
    assert await parked._list(["order"], every=False) == []
    assert [row["state"] for row in await parked._list(["order"], every=True)] == [state]
    with pytest.raises(StackError, match=f"is {state} already"):
        await parked._ask(parked_id, action)


async def test_a_request_that_nobody_carries_out_is_told(
    book: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a worker the command must come back, and the request must stay for later."""
    monkeypatch.setattr(parked, "PATIENCE_S", 0.3)
    parked_id = await park(book, b"")
    with pytest.raises(StackError, match="the request stays"):
        await parked._ask(parked_id, "replay")
    assert await book.fetchval("select action from parked_requests") == "replay"


@pytest.mark.parametrize(
    "parked_id", ["12", "order:", "order:x", "order:-1", f"order:{2**63}", "orders:1", "order:999"]
)
async def test_ids_that_name_nothing_are_refused(book: asyncpg.Connection, parked_id: str) -> None:
    """A misspelt id must not reach the database as an error of its own."""
    with pytest.raises(StackError):
        await parked._show(parked_id)
