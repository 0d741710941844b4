"""The operations of a service over HTTP, on real PostgreSQL, with the real owner of its shard and no broker."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest

from shared import tokens
from shared.http import operations, parked
from shared.http.app import make_app
from shared.runtime.envelope import read
from shared.runtime.instants import read_every_instant
from shared.runtime.metrics import Working
from shared.settings import Settings
from tests.runtime.ground import Ground, drained
from tests.runtime.toy import Put, Rained, SetLid, Smash, Vanish

pytestmark = pytest.mark.parts

SETTINGS = Settings(token_secret="a secret of the tests, long enough for HS256")
WORKING = Working({3: 7, 1: 2}, 11, 12, 13, 14, 15)
NONE_ASKED = {"asked": None, "asked_at": None, "asked_by": None, "asked_because": None}
NOT_CLOSED = {"closed_at": None, "closed_by": None, "closed_because": None}
HUGE = "9" * 5_000


class Desk(NamedTuple):
    """Admin's place: a client of the toy service's HTTP."""

    ground: Ground
    client: httpx.AsyncClient

    async def ask(self, method: str, path: str, body: Any = None, *, name: str | None = "jo") -> httpx.Response:
        """A request of an admin of this name."""
        token = tokens.create(SETTINGS, "admin", name=name)
        return await self.client.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})

    async def got(self, path: str) -> Any:
        """What is found there."""
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def done(self, path: str, body: Any = None, *, name: str | None = "jo") -> Any:
        """What is answered to a POST that is taken."""
        answer = await self.ask("POST", path, body, name=name)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and code of a problem."""
        answer = await self.ask(method, path, body)
        return answer.status_code, answer.json()["code"]

    async def listed(self, query: str = "") -> list[int]:
        """The numbers of a list, page by page."""
        numbers, cursor = [], ""
        while True:
            page = await self.got(f"/parked?limit=2{query}{cursor}")
            numbers += [item["number"] for item in page["items"]]
            if page["next"] is None:
                return numbers
            cursor = f"&cursor={page['next']}"


@pytest.fixture
async def desk(ground: Ground) -> AsyncIterator[Desk]:
    """The toy's operations, and nothing parked."""
    async with asyncpg.create_pool(ground.dsn, min_size=1, max_size=2, init=read_every_instant) as pool:
        app = make_app(
            "toy",
            "Toy",
            "",
            routers=operations.routes("toy", pool, SETTINGS, lambda: WORKING),
            ready=lambda: None,
            settings=SETTINGS,
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://toy") as client:
            yield Desk(ground, client)


# -- how it is doing ---------------------------------------------------------------------------------------------------


async def test_a_quiet_service_is_told(desk: Desk) -> None:
    """What its worker is at, and zeros."""
    told = await desk.got("/operations")
    assert told.pop("settings")["payment_window_s"] == SETTINGS.payment_window_s
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told.pop("as_of"))) < timedelta(minutes=1)
    assert told == {
        "service": "toy",
        "shards": [{"shard": 1, "epoch": 2}, {"shard": 3, "epoch": 7}],
        "lag": 11,
        "cached_aggregates": 12,
        "unpublished_messages": 14,
        "effects_running": 15,
        "timers_due": 0,
        "next_timer_at": None,
        "parked": 0,
        "parked_kinds": [],
        "parked_requests": 0,
    }


async def test_what_is_under_way_is_told(desk: Desk) -> None:
    """Timers that are due and the next one, of all shards; parked messages by kind, those that are closed left out."""
    now = datetime.now(UTC)
    earlier, later = now - timedelta(days=2), now + timedelta(days=2)
    await desk.ground.worker(1)
    worker = await desk.ground.worker()
    timers = [("a", 0, earlier), ("b", 1, earlier), ("c", 0, later + timedelta(days=1)), ("d", 1, later)]
    sql = "insert into timers (subject, name, shard, due_at) values ($1, 'lid', $2, $3)"
    await desk.ground.connection.executemany(sql, timers)
    await worker.tell(Vanish(jar="a"), now=earlier)
    await worker.tell(Vanish(jar="a"), Smash(jar="b"), Vanish(jar="c"))
    await worker.do(read("toy.commands", 0, 99, b"k", b"x", []))
    await desk.ground.connection.execute("update parked set state = 'dropped' where id = 4")
    await desk.done("/parked/1/replay")
    told = await desk.got("/operations")
    assert (told["timers_due"], datetime.fromisoformat(told["next_timer_at"])) == (2, later)
    assert (told["parked"], told["parked_requests"]) == (4, 1)
    kinds = [(kind["code"], kind["message_type"], kind["messages"]) for kind in told["parked_kinds"]]
    assert kinds == [("no_cell", "Vanish", 2), ("decider_raised", "Smash", 1), ("unknown_type", "", 1)]
    assert datetime.fromisoformat(told["parked_kinds"][0]["oldest_at"]) == earlier


async def test_what_anybody_can_make_many_of_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds of parked messages and timers: the most frequent ones, and so many."""
    monkeypatch.setattr(operations, "KINDS_SHOWN", 2)
    monkeypatch.setattr(operations, "DUE_COUNTED", 3)
    worker = await desk.ground.worker()
    await worker.tell(*(SetLid(jar=f"j{n}", seconds=1) for n in range(5)), now=datetime.now(UTC) - timedelta(hours=1))
    types = [(10, b"x"), (11, b"y"), (12, b"y"), (13, b"z"), (14, b"z"), (15, b"z")]
    await worker.do(*(read("toy.commands", 0, offset, b"k", b"{}", [("ce_type", type_)]) for offset, type_ in types))
    told = await desk.got("/operations")
    assert [kind["message_type"] for kind in told["parked_kinds"]] == ["z", "y"]
    assert (told["parked"], told["timers_due"]) == (6, 3)


# -- lists and pages ---------------------------------------------------------------------------------------------------


async def test_each_filter_narrows(desk: Desk) -> None:
    """Of messages that differ in one thing each, a filter finds the one that is so; all are told page by page, the
    oldest first."""
    worker = await desk.ground.worker()
    await worker.tell(Vanish(jar="a"), Smash(jar="b"), Vanish(jar="c"), Put(jar="b", pieces=1), Vanish(jar="d"))
    await desk.ground.connection.execute("update parked set state = 'replayed' where id = 5")
    assert await desk.listed() == [1, 2, 3, 4, 5]
    assert await desk.listed("&state=parked") == [1, 2, 3, 4]
    assert await desk.listed("&state=replayed") == [5]
    assert await desk.listed("&code=behind") == [4]
    assert await desk.listed("&type=Smash") == [2]
    assert await desk.listed("&subject=c") == [3]
    assert await desk.listed("&type=Vanish&state=parked&subject=a&code=no_cell") == [1]
    assert await desk.listed("&type=Vanish&subject=b") == []


NONSENSE = [
    "state=open",
    "state=",
    "state=%00",
    "code=%00",
    "code=no%20cell",
    "code=" + "c" * 65,
    "type=",
    "type=%20",
    "type=%E2%80%8B",
    "type=a%00b",
    "type=%ff",
    "subject=" + "s" * 501,
    "subject=%ED%A0%80",
    "limit=0",
    f"limit={HUGE}",
    "cursor=x",
    f"cursor={HUGE}",
]


@pytest.mark.parametrize("query", NONSENSE)
async def test_a_filter_that_makes_no_sense_is_refused(desk: Desk, query: str) -> None:
    """422, and nothing of it reaches the database."""
    status, code = await desk.refused("GET", f"/parked?{query}")
    assert (status, code in ("invalid_request", "bad_cursor")) == (422, True)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "%00", str(2**63), HUGE])
async def test_a_number_that_makes_no_sense_is_refused(desk: Desk, number: str) -> None:
    """By the page and by what can be asked of it."""
    for method, path in (("GET", ""), ("POST", "/replay"), ("POST", "/drop")):
        body = {"reason": "x"} if method == "POST" else None
        assert await desk.refused(method, f"/parked/{number}{path}", body) == (422, "invalid_request")


@pytest.mark.parametrize("number", [1, 2**63 - 1])
async def test_a_number_that_there_is_not_is_unknown(desk: Desk, number: int) -> None:
    """404, and no request is left."""
    for method, path in (("GET", ""), ("POST", "/replay"), ("POST", "/drop")):
        body = {"reason": "x"} if method == "POST" else None
        assert await desk.refused(method, f"/parked/{number}{path}", body) == (404, "parked_unknown")
    assert await desk.ground.counts() == {}


async def test_a_message_is_told_whole(desk: Desk) -> None:
    """Where it came from, what it says and with which headers, why it is here, and that nobody asked for it."""
    worker = await desk.ground.worker()
    now = datetime.now(UTC)
    headers = [("ce_type", b"Vanish"), ("ce_id", b"c-1"), ("odd", b"\xff\x00"), ("empty", b"")]
    await worker.do(read("toy.commands", 0, 4, b"a", b'{"jar":"a"}', headers), now=now)
    told = await desk.got("/parked/1")
    reason = told.pop("reason")
    assert "Vanish" in reason
    page = {
        "number": 1,
        "shard": 0,
        "subject": "a",
        "topic": "toy.commands",
        "partition": 0,
        "offset": 4,
        "message_id": "c-1",
        "message_type": "Vanish",
        "code": "no_cell",
        "parked_at": now.isoformat().replace("+00:00", "Z"),
        "state": "parked",
        **NOT_CLOSED,
        **NONE_ASKED,
    }
    assert told == {
        **page,
        "behind": 0,
        "key": {"text": "a", "base64": None, "bytes": 1, "cut": False},
        "headers": [
            {"name": "ce_type", "value": {"text": "Vanish", "base64": None, "bytes": 6, "cut": False}},
            {"name": "ce_id", "value": {"text": "c-1", "base64": None, "bytes": 3, "cut": False}},
            {"name": "odd", "value": {"text": None, "base64": "/wA=", "bytes": 2, "cut": False}},
            {"name": "empty", "value": {"text": "", "base64": None, "bytes": 0, "cut": False}},
        ],
        "headers_left": 0,
        "body": {"text": '{"jar":"a"}', "base64": None, "bytes": 11, "cut": False},
    }
    (row,) = (await desk.got("/parked"))["items"]
    assert row == {**page, "reason": reason}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (None, None),
        (b"", ("", None, False)),
        (b"\x00\xff", (None, "AP8=", False)),
        ("é\0".encode(), ("é\0", None, False)),
        (b"0123456789", ("0123456789", None, False)),
        (b"0123456789a", ("0123456789", None, True)),
        ("012345678é".encode(), ("012345678", None, True)),  # its last character is cut in two
        (b"\xff" * 11, (None, "/////////////w==", True)),
        (b"012345678\xc3", (None, "MDEyMzQ1Njc4ww==", False)),  # not cut: it ends in half a character
        (b"x" * 1_000_000, ("x" * 10, None, True)),
    ],
)
async def test_a_body_is_shown_as_far_as_it_may(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, body: bytes | None, shown: Any
) -> None:
    """As text where it is some, else as base64; cut, and then it is said how much there is."""
    monkeypatch.setattr(parked, "BODY_SHOWN_BYTES", 10)
    worker = await desk.ground.worker()
    await worker.do(read("toy.commands", 0, 0, b"k", body, []))
    told = (await desk.got("/parked/1"))["body"]
    if shown is None:
        assert told is None
    else:
        assert body is not None
        assert tuple(told.values()) == (*shown[:2], len(body), shown[2])


async def test_headers_are_shown_as_far_as_they_may(desk: Desk) -> None:
    """So many, each so long; how many are left is told."""
    worker = await desk.ground.worker()
    headers = [("n" * 5_000, b"v" * 5_000)] * (parked.HEADERS_SHOWN + 7)
    await worker.do(read("toy.commands", 0, 0, b"k", b"{}", headers))
    told = await desk.got("/parked/1")
    assert (len(told["headers"]), told["headers_left"]) == (parked.HEADERS_SHOWN, 7)
    first = told["headers"][0]
    assert len(first["name"]) == len(first["value"]["text"]) == parked.HEADER_SHOWN_BYTES
    assert (first["value"]["bytes"], first["value"]["cut"]) == (5_000, True)


async def test_what_waits_behind_a_message_is_counted(desk: Desk) -> None:
    """What its replay takes along: later ones of its subject that wait, and nothing behind one that parked alone."""
    worker = await desk.ground.worker()
    messages = [Smash(jar="a"), Rained(jar="a"), Vanish(jar="b"), Vanish(jar="b"), Rained(jar="a"), Smash(jar="b")]
    await worker.tell(*messages)
    assert [(await desk.got(f"/parked/{n}"))["behind"] for n in range(1, 7)] == [2, 1, 0, 0, 0, 0]
    await desk.ground.connection.execute("update parked set state = 'dropped' where id in (1, 2)")
    assert (await desk.got("/parked/1"))["behind"] == 0


# -- what is asked -----------------------------------------------------------------------------------------------------


async def test_a_replay_asked_twice_is_one_request_of_who_asked_first(desk: Desk) -> None:
    """The page says so until the worker has carried it out, and then who it was done for; what waited behind came along
    for the same reason. Then it is too late."""
    owner, log = await desk.ground.owner(), desk.ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), Rained(jar="a"), Rained(jar="a"))])
    await desk.ground.connection.execute("update parked set state = 'dropped' where id = 1")
    asked = await desk.done("/parked/2/replay", {"reason": "it was the jar"})
    again = await desk.done("/parked/2/replay", {"reason": "me too"}, name="mo")
    assert (asked["asked"], asked["asked_by"], asked["asked_because"]) == ("replay", "admin:jo", "it was the jar")
    assert {**again, "asked_at": None} == {**asked, "asked_at": None}
    assert asked["state"] == "parked"
    assert await desk.ground.rows("select parked_id, action from parked_requests") == [(2, "replay")]
    assert (await desk.got("/parked?state=parked"))["items"][0]["asked"] == "replay"
    await owner.serve_requests()
    await drained(owner)
    for number in (2, 3):
        page = await desk.got(f"/parked/{number}")
        assert (page["state"], page["closed_by"], page["closed_because"]) == ("replayed", "admin:jo", "it was the jar")
        assert abs(datetime.now(UTC) - datetime.fromisoformat(page["closed_at"])) < timedelta(minutes=1)
        assert page.items() >= NONE_ASKED.items()
        for action in ("replay", "drop"):
            assert await desk.refused("POST", f"/parked/{number}/{action}", {"reason": "x"}) == (409, "parked_over")
    assert await desk.ground.pieces("a") == 2
    assert await desk.ground.rows("select * from parked_requests") == []


async def test_a_drop_needs_a_reason_and_keeps_it(desk: Desk) -> None:
    """One that shows something; asked twice it is one request. Nobody behind it goes with it."""
    owner, log = await desk.ground.owner(), desk.ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), Rained(jar="a"))])
    reasons = ("", " \u200b", "a\0", "x" * 501, 5, None)
    bodies: list[Any] = [None, {}, [], "x", {"reason": "x", "by": "mo"}, *({"reason": reason} for reason in reasons)]
    for nonsense in bodies:
        assert await desk.refused("POST", "/parked/1/drop", nonsense) == (422, "invalid_request")
    assert await desk.ground.rows("select * from parked_requests") == []
    for _ in range(2):
        asked = await desk.done("/parked/1/drop", {"reason": "no order of ours"}, name=None)
        assert (asked["asked"], asked["asked_by"], asked["asked_because"]) == ("drop", "admin:", "no order of ours")
    await owner.serve_requests()
    page = await desk.got("/parked/1")
    assert (page["state"], page["closed_by"], page["closed_because"]) == ("dropped", "admin:", "no order of ours")
    assert (await desk.got("/parked/2")).items() >= {"state": "parked", **NOT_CLOSED}.items()
    assert await desk.refused("POST", "/parked/1/drop", {"reason": "x"}) == (409, "parked_over")


async def test_a_replay_needs_no_reason(desk: Desk) -> None:
    """No body, an empty one, or one with a reason that says nothing."""
    worker = await desk.ground.worker()
    await worker.tell(Vanish(jar="a"), Vanish(jar="b"), Vanish(jar="c"))
    for number, body in ((1, None), (2, {}), (3, {"reason": ""})):
        assert (await desk.done(f"/parked/{number}/replay", body))["asked_because"] is None
    assert await desk.refused("POST", "/parked/1/replay", {"reason": "x" * 501}) == (422, "invalid_request")


async def test_who_changes_the_wish_is_who_it_is_done_for(desk: Desk) -> None:
    """The last wish counts while nothing is done, with its own reason."""
    owner, log = await desk.ground.owner(), desk.ground.log
    await owner.run_batch([log.told(Vanish(jar="a"))])
    await desk.done("/parked/1/replay", name="jo")
    asked = await desk.done("/parked/1/drop", {"reason": "it is gone"}, name="mo")
    assert (asked["asked"], asked["asked_by"], asked["asked_because"]) == ("drop", "admin:mo", "it is gone")
    await owner.serve_requests()
    page = await desk.got("/parked/1")
    assert (page["state"], page["closed_by"], page["closed_because"]) == ("dropped", "admin:mo", "it is gone")


async def test_what_parks_again_is_not_closed(desk: Desk) -> None:
    """The request is done with, and the message is as it was: it can be asked for again."""
    owner, log = await desk.ground.owner(), desk.ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), Rained(jar="a"))])
    for _ in range(2):
        await desk.done("/parked/1/replay", {"reason": "mended"})
        await owner.serve_requests()
        for number in (1, 2):
            page = await desk.got(f"/parked/{number}")
            assert page.items() >= {"state": "parked", **NOT_CLOSED, **NONE_ASKED}.items()


async def test_headers_of_the_answer_lead_to_the_page(desk: Desk) -> None:
    """As of every other command."""
    worker = await desk.ground.worker()
    await worker.tell(Vanish(jar="a"))
    answer = await desk.ask("POST", "/parked/1/replay")
    assert answer.headers["location"] == "/parked/1"
    assert json.loads(answer.text) == await desk.got(answer.headers["location"])
