"""What is parked, on real PostgreSQL: whatever comes can be kept, and what operators ask for is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from shared.runtime.envelope import read
from shared.runtime.shard import Replay
from tests.runtime.ground import Ground
from tests.runtime.toy import Put, Rained, Smash, Vanish

pytestmark = pytest.mark.parts

NASTY: list[tuple[bytes | None, Sequence[tuple[str, Any]]]] = [
    (b"\x00\x01\xff" * 100, [("ce_type", b"Put"), ("ce_subject", b"a\x00b")]),
    (b'{"jar":"a\\u0000"}', [("ce_type", b"P\x00t"), ("ce_id", b"\x00")]),
    (None, [("ce_type", b"Put"), ("ce_id", b"c-1"), ("ce_subject", b"a")]),
    (b"", []),
    (b"x" * 1_000_000, [("ce_type", b"Put"), ("ce_id", b"i" * 10_000), ("ce_subject", b"s" * 100_000)]),
    (b"{}", [("ce_type", None), ("odd \x00 name", b"\xff"), ("empty", b"")]),
    (b"{}", [("ce_type", b"\xff\xfe"), ("ce_type", b"twice")]),
    (b"{}", [("ce_type", b"T" * 50_000), ("fingerprint", b"\x00"), ("ce_actor", b"\x00"), ("link", b"1" * 30)]),
]


@pytest.mark.parametrize("nasty", NASTY, ids=range(len(NASTY)))
async def test_whatever_comes_can_be_parked(ground: Ground, nasty: Any) -> None:
    """Bytes that are no text, NUL, headers without a value, a megabyte: kept as they came, and the shard goes on."""
    value, headers = nasty
    worker = await ground.worker()
    await worker.do(read("toy.commands", 0, 0, b"\x00key", value, headers))
    (row,) = await ground.connection.fetch("select body, key, code, state from parked")
    assert tuple(row) == (value, b"\x00key", row["code"], "parked")
    assert row["code"] in ("malformed", "unknown_type")
    assert (await ground.worker()).shard.progress.offsets == {"toy.commands": 1}


async def test_blocked_subjects_are_known_to_the_next_owner(ground: Ground) -> None:
    """Those with a message that raised, or that waits behind one; not those with one that parked alone."""
    worker = await ground.worker()
    await worker.tell(Smash(jar="a"), Rained(jar="a"), Vanish(jar="b"))
    assert await worker.database.blocked(0) == {"a"}
    assert await worker.database.blocked(1) == set()


async def ask(ground: Ground, action: str, *ids: int) -> None:
    """What `larder parked` leaves."""
    sql = "insert into parked_requests (parked_id, action, shard) select unnest($1::bigint[]), $2, 0"
    await ground.connection.execute(sql, ids, action)


async def test_replay_takes_along_what_waits_behind(ground: Ground) -> None:
    """Of the same subject, in order; not what came before it, and no other subject."""
    worker = await ground.worker()
    await worker.tell(Smash(jar="a"), Rained(jar="a"), Rained(jar="a"), Smash(jar="b"), Vanish(jar="c"))
    await ask(ground, "replay", 2)
    rows = await worker.database.parked_requests(0)
    assert [(r.id, r.subject, r.action, r.delivery.type) for r in rows] == [
        (2, "a", "replay", "Rained"),
        (3, "a", "replay", "Rained"),
    ]
    assert await worker.database.parked_requests(1) == []


async def test_replay_of_one_that_parked_alone_takes_nobody_along(ground: Ground) -> None:
    """Nobody waits behind it."""
    worker = await ground.worker()
    await worker.tell(Vanish(jar="a"), Vanish(jar="a"))
    await ask(ground, "replay", 1)
    assert [r.id for r in await worker.database.parked_requests(0)] == [1]


async def test_parked_message_comes_back_as_it_was(ground: Ground) -> None:
    """Body, actor and trace, so that it is decided as it would have been."""
    worker, log = await ground.worker(), ground.log
    sent = log.asked(Smash(jar="a"), "c-1", actor="picker:p-7")
    headers = [("ce_type", b"Smash"), ("ce_actor", b"picker:p-7"), ("traceparent", b"00-abc"), ("odd", b"\x00\xff")]
    await worker.do(read(sent.topic, 0, sent.offset, b"a", sent.value, [*headers, ("ce_id", b"c-1")]))
    await ask(ground, "replay", 1)
    (row,) = await worker.database.parked_requests(0)
    d = row.delivery
    assert (d.value, d.key, d.actor, d.traceparent, d.id, d.link) == (
        sent.value, b"a", "picker:p-7", b"00-abc", "c-1", 0,
    )  # fmt: skip
    assert list(d.headers) == [*headers, ("ce_id", b"c-1")]


async def test_settled_requests_are_gone(ground: Ground) -> None:
    """Dropped ones will not come back, replayed ones are marked by their commit."""
    worker = await ground.worker()
    await worker.tell(Vanish(jar="a"), Smash(jar="b"), Put(jar="b", pieces=4))
    await ask(ground, "drop", 1, 2)
    await worker.database.settle_requests(0, [1, 2], [1, 2], [])
    await ask(ground, "replay", 3)
    (row,) = await worker.database.parked_requests(0)
    await worker.do(Replay(row.id, row.delivery))
    await worker.database.settle_requests(0, [3], [], [])
    assert await ground.rows("select id, state from parked order by id") == [
        (1, "dropped"),
        (2, "dropped"),
        (3, "replayed"),
    ]
    assert await ground.rows("select * from parked_requests") == []
    assert await ground.pieces("b") == 4
    assert await worker.database.blocked(0) == set()


async def test_drop_takes_nobody_along(ground: Ground) -> None:
    """What waited behind is decided on its own."""
    worker = await ground.worker()
    await worker.tell(Smash(jar="a"), Rained(jar="a"))
    await ask(ground, "drop", 1)
    assert [(r.id, r.action) for r in await worker.database.parked_requests(0)] == [(1, "drop")]


async def test_a_value_that_no_table_takes_is_an_error_with_a_class(ground: Ground) -> None:
    """What the owner of a shard halves its batches for."""
    worker = await ground.worker()
    with pytest.raises(asyncpg.DataError):
        await worker.database.known(["a\x00b"])
