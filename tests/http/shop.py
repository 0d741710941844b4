"""A small service on top of shared.http, and a deciding shard in memory: what the tests of shared.http talk to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import asyncpg
import httpx
from fastapi import APIRouter, Depends, Response
from pydantic import AwareDatetime, BaseModel, Field

from shared import tokens
from shared.contracts import order as ordering
from shared.contracts.base import LINES_MAX, Name, Quantity
from shared.http.app import make_app, refuse_when_behind
from shared.http.asked import Asked, asking, order_id_for
from shared.http.auth import Caller, Role, require
from shared.http.commands import CommandDesk
from shared.http.paging import Page, Paged
from shared.http.waiting import RestWatcher
from shared.runtime.envelope import Delivery, Headers, read
from shared.settings import Settings

SETTINGS = Settings(token_secret="a secret of the tests, long enough for HS256", answer_wait_s=5, shards=3)
BEHIND_BOUND = 100


@dataclass
class Shard:
    """Stands for the broker, the deciding shard and its database: publishes, decides, and is asked like a pool."""

    refuses: dict[str, str] = field(default_factory=dict)
    """Message type -> code."""
    silent: bool = False
    """The shard is away: what is sent stays undecided."""
    lost: Exception | None = None
    """What the producer raises."""
    sent: list[Delivery] = field(default_factory=list)
    answers: dict[str, tuple[str, bool, str | None, str, str, str]] = field(default_factory=dict)
    resting: set[str] = field(default_factory=set)
    asked_for: list[Sequence[str]] = field(default_factory=list)
    away: bool = False
    """The database does not answer."""
    committed: Callable[[list[str]], None] = lambda ids: None

    async def publish(self, topic: str, partition: int, key: bytes, value: bytes, headers: Headers) -> None:
        if self.lost:
            raise self.lost
        delivery = read(topic, partition, len(self.sent), key, value, headers)
        self.sent.append(delivery)
        if not self.silent:
            self.decide(delivery)

    def decide(self, delivery: Delivery) -> None:
        """An id is decided once."""
        code = self.refuses.get(delivery.type)
        detail = f"{code} it is" if code else ""
        answer = (delivery.id, code is None, code, delivery.subject, delivery.fingerprint, detail)
        self.answers.setdefault(delivery.id, answer)
        self.committed([delivery.id])

    async def fetch(self, sql: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """What an asyncpg pool would answer."""
        self.asked_for.append(list(ids))
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionRefusedError("the database is away")
        if "answers" in sql:
            return [self.answers[id] for id in ids if id in self.answers]
        return [(id, id in self.resting) for id in ids]

    @property
    def pool(self) -> asyncpg.Pool:
        return cast(asyncpg.Pool, self)


class Line(BaseModel):
    spu: Name
    quantity: Quantity


class Basket(BaseModel):
    store: Name
    lines: Annotated[list[Line], Field(min_length=1, max_length=LINES_MAX)]
    expected_total: Annotated[int, Field(ge=0, strict=True)] | None = None


class Order(BaseModel):
    order_id: str
    rests: bool = False


class Why(BaseModel):
    reason: str = ""


class Anything(BaseModel):
    value: Any = None


Buyer = Annotated[Asked, Depends(asking(Role.CUSTOMER))]
Reader = Annotated[Caller, Depends(require(Role.CUSTOMER, Role.CUSTOMER_SERVICE))]
Picker = Annotated[Caller, Depends(require(Role.PICKER))]
ORDERS = [(f"a-{n % 2}", n) for n in range(7)]


class Shop:
    """The app, its parts, and a client of it."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.shard = Shard()
        self.desk = CommandDesk("order", self.shard.publish, self.shard.pool, settings)
        self.rests = RestWatcher(self.shard.pool, "select id, resting")
        self.shard.committed = self.desk.hint
        self.behind = 0
        self.why_not_ready: str | None = None
        self.app = make_app(
            "order",
            "Orders",
            "What the tests talk to",
            routers=[self.routes()],
            ready=lambda: self.why_not_ready,
            settings=settings,
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://shop")

    def routes(self) -> APIRouter:
        router = APIRouter(tags=["orders"])
        not_behind = refuse_when_behind(lambda: self.behind, BEHIND_BOUND)

        @router.post("/orders", status_code=202, dependencies=[Depends(not_behind)])
        async def place(basket: Basket, asked: Buyer, response: Response) -> Order:
            order_id = order_id_for(asked.command_id)
            spus = tuple(line.spu for line in basket.lines)
            quantities = tuple(line.quantity for line in basket.lines)
            account = asked.caller.account or "admin"
            await self.desk.send(
                ordering.PlaceOrder(
                    order_id=order_id, account=account, store=basket.store, spus=spus, quantities=quantities
                ),
                asked,
            )
            rests = await self.rests.wait(order_id, asked.wait_s)
            response.headers["Location"] = f"/orders/{order_id}"
            return Order(order_id=order_id, rests=rests)

        @router.post("/orders/{order_id}/cancel", status_code=202)
        async def cancel(order_id: str, asked: Buyer, why: Why | None = None) -> Order:
            await self.desk.send(ordering.CancelOrder(order_id=order_id, reason=why.reason if why else ""), asked)
            return Order(order_id=order_id)

        @router.get("/orders")
        @router.get("/stores/{store}/orders")
        async def some(caller: Reader, paging: Paged) -> Page[Order]:
            account, number = paging.after(str, int)
            rows = [row for row in sorted(ORDERS) if account is None or row > (account, number)]
            return paging.page(
                rows[: paging.fetch], last=lambda row: row, item=lambda row: Order(order_id=f"{row[0]}/{row[1]}")
            )

        @router.get("/orders/{account}/{number}")
        async def read_one(account: str, number: int, caller: Reader) -> Order:
            caller.must_see(account)
            return Order(order_id=f"{account}/{number}")

        @router.post("/stores/{store}/pick")
        async def pick(store: str, caller: Picker) -> dict[str, str]:
            caller.must_work_at(store)
            return {"actor": caller.actor}

        @router.get("/since")
        async def since(since: AwareDatetime, until: AwareDatetime | None = None) -> list[str]:
            return [instant.isoformat() for instant in (since, until) if instant]

        @router.put("/anything/{name}")
        async def put(name: str, body: Anything) -> Anything:
            return body

        @router.get("/broken")
        async def broken(how: str = "surprise") -> None:
            raises: dict[str, Exception] = {
                "surprise": RuntimeError("the password is swordfish"),
                "database": asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
                "closed": asyncpg.InterfaceError("connection is closed"),
                "torn": asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
                "misused": asyncpg.InterfaceError("the server expects 1 argument"),
                "value": asyncpg.DataError("value out of int64 range"),
                "slow": TimeoutError(),
            }
            if how == "late":
                ordering.CancelOrder(order_id="no good id!")
            raise raises[how]

        return router

    async def __aenter__(self) -> Shop:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.aclose()
        await self.desk.close()
        await self.rests.close()

    def token(self, role: str = "customer", account: str | None = "a-1", **more: Any) -> dict[str, str]:
        """Headers with a token."""
        token = tokens.create(self.settings, role, account if role == "customer" else None, **more)
        return {"Authorization": f"Bearer {token}"}


BASKET = {"store": "s-1", "lines": [{"spu": "apple", "quantity": 2}]}


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is a problem of that status and code; its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json", answer.headers
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status, body
    assert body["title"], body
    assert body["trace_id"], body
    return body


async def until(holds: Callable[[], bool]) -> None:
    """Lets the loop turn until the condition holds."""
    async with asyncio.timeout(5):
        while True:
            if holds():
                return
            await asyncio.sleep(0)
