"""Before the first order: stores and products by HTTP, stock by goods receipts."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import httpx
import msgspec

from larder.load.catalogue import Names, area_of, there, to_tell, wanted
from larder.load.errors import LoadError
from larder.load.lines import Listener, Sender
from larder.load.play import Play
from larder.load.wire import Stencil, prefix_of, time_now, type_of
from shared.contracts import inventory
from shared.contracts.base import LINES_MAX
from shared.contracts.topics import partition_for
from shared.settings import Settings
from shared.tokens import create

MARGIN = 10
"""Pieces of each SPU that a store has more than will be ordered."""
PRODUCTS_MAX = 4_000
"""Most products in one call; the order service takes 5,000 and 1 MB."""
CALLS_AT_ONCE = 8
CALL_PATIENCE_S = 30
RECEIPTS_UNDER_WAY_MAX = 500
RESEND_S = 20.0
GIVE_UP_S = 60.0

T = TypeVar("T")
Say = Callable[[str], None]


async def tell_catalogue(settings: Settings, play: Play, names: Names, *, overwrite: bool = False) -> None:
    """Puts the stores and products of a play that are not there as it wants them; first of all the service that takes
    orders must answer."""
    needed = wanted(play, names)
    told = to_tell(needed, await there(settings, needed), overwrite=overwrite)
    products = [{"spu": spu, **product._asdict()} for spu, product in told.products.items()]
    await tell(settings, [("GET", "/readyz", None)])
    await tell(
        settings,
        [
            *(("PUT", "/products", {"items": chunk}) for chunk in _chunks(products, PRODUCTS_MAX)),
            *(
                ("PUT", f"/stores/{name}", {"name": store.name, "area": area_of(name), "accepting": store.accepting})
                for name, store in told.stores.items()
            ),
        ],
    )


async def tell(settings: Settings, calls: Iterable[tuple[str, str, object]]) -> None:
    """Calls the order service as its admin: method, path and body of each call; some at once, in no order."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    headers = {"Authorization": f"Bearer {create(settings, 'admin')}", "Content-Type": "application/json"}
    base = f"http://{host}:{settings.port('order')}"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=CALL_PATIENCE_S, trust_env=False) as client:
        some = asyncio.Semaphore(CALLS_AT_ONCE)

        async def call(method: str, path: str, body: object) -> None:
            async with some:
                await _call(client, method, path, None if body is None else msgspec.json.encode(body))

        try:
            async with asyncio.TaskGroup() as group:
                for one in calls:
                    group.create_task(call(*one))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # one reason is enough: the others are of the same kind


async def _call(client: httpx.AsyncClient, method: str, path: str, body: bytes | None = None) -> None:
    """A GET, PUT or DELETE is the same however often it is done, so a service that just starts again is tried again."""
    end = time.monotonic() + CALL_PATIENCE_S
    while True:
        try:
            answer = await client.request(method, path, content=body)
        except httpx.InvalidURL as error:
            raise LoadError(f"{client.base_url} is no address: {error} (LARDER_HOST)") from None
        except httpx.TransportError as error:
            told, again = f"{error or type(error).__name__}", True
        else:
            if answer.is_success:
                return
            told, again = f"{answer.status_code} {answer.text[:300]}", answer.status_code in (502, 503, 504)
        if not again or time.monotonic() > end:
            address = f"{str(client.base_url).rstrip('/')}{path}"
            raise LoadError(f"{method} {address} was not taken: {told}; is the stack up? `larder status`")
        await asyncio.sleep(0.3)


def receipts(run: str, play: Play, plays: int) -> Iterator[tuple[str, inventory.ReceiveGoods]]:
    """The goods receipts that a play takes, and the id of each: at most 200 lines, all of one store."""
    number = 0
    for store, demand in play.demand.items():
        for chunk in _chunks(demand.items(), LINES_MAX):
            number += 1
            request_id = f"{prefix_of(run)}r{number}"
            yield (
                f"{request_id}-receive",
                inventory.ReceiveGoods(
                    request_id=request_id,
                    store=store,
                    spus=tuple(spu for spu, _ in chunk),
                    quantities=tuple(pieces * plays + MARGIN for _, pieces in chunk),
                ),
            )


async def fill(sender: Sender, listener: Listener, run: str, play: Play, plays: int, shards: int, say: Say) -> int:
    """Receives the goods, and waits until every receipt is written. Returns the pieces."""
    pieces = 0

    def coming() -> Iterator[tuple[str, inventory.StoreCommand]]:
        nonlocal pieces
        for id_, message in receipts(run, play, plays):
            pieces += sum(message.quantities)
            yield id_, message

    await have_done(sender, listener, coming(), shards, say)
    return pieces


async def have_done(
    sender: Sender, listener: Listener, coming: Iterator[tuple[str, inventory.StoreCommand]], shards: int, say: Say
) -> None:
    """A storekeeper asks for these, each with its id, and waits until all are done; in no order.

    The listener hears `inventory.answers`. A command whose answer does not come is sent again under the same id.
    """
    stencils: dict[str, Stencil] = {}
    waiting: dict[str, tuple[float, int, tuple[bytes, bytes, Any]]] = {}
    done = 0
    progress_at = time.monotonic()
    while True:
        now, stamp = time.monotonic(), time_now()
        for id_, message in islice(coming, RECEIPTS_UNDER_WAY_MAX - len(waiting)):
            stencil = stencils.get(message.TYPE) or stencils.setdefault(
                message.TYPE, Stencil(message.TYPE, wants_word=True)
            )
            headers = stencil.headers(id_.encode(), message.subject.encode(), b"storekeeper:robot", stamp)
            wire = (message.key.encode(), message.to_json(), headers)
            waiting[id_] = (now, partition_for(message.key, shards), wire)
            sender.send(inventory.StoreCommand.TOPIC, waiting[id_][1], wire)
        if not waiting:
            return
        for id_, (since, partition, wire) in waiting.items():
            if now - since > RESEND_S:
                waiting[id_] = (now, partition, wire)
                sender.send(inventory.StoreCommand.TOPIC, partition, wire)
        sender.flush()
        for record in await listener.hear(200):
            type_ = type_of(record.headers)
            if type_ not in (b"CommandAccepted", b"CommandRefused") or record.value is None:
                continue
            answer = msgspec.json.decode(record.value)
            if answer.get("command_id") not in waiting:
                continue
            if type_ == b"CommandRefused":
                raise LoadError(f"a storekeeper's command was refused: {answer}")
            del waiting[answer["command_id"]]
            done, progress_at = done + 1, time.monotonic()
        if time.monotonic() - progress_at > GIVE_UP_S:
            raise LoadError(
                f"no storekeeper's command was answered for {GIVE_UP_S:g} s ({done} were before); waiting for "
                f"{', '.join(islice(waiting, 3))}: look at `larder status` and `larder parked list`"
            )
        if done and done % RECEIPTS_UNDER_WAY_MAX == 0:
            say(f"{done} storekeepers' commands are done")


class Substitutes:
    """What a store has at about the price of something else."""

    def __init__(self, play: Play, percent: float) -> None:
        self._play = play
        self._percent = percent
        self._found: dict[tuple[str, str], list[str]] = {}

    def find(self, store: str, spu: str, order: bytes) -> str | None:
        """Something else, or None if there is nothing similar; orders take different ones."""
        similar = self._found.get((store, spu))
        if similar is None:
            prices, price = self._play.prices, self._play.prices[spu]
            similar = self._found[store, spu] = [
                other
                for other in self._play.demand[store]
                if other != spu and abs(prices[other] - price) * 100 <= self._percent * price
            ]
        return similar[zlib.crc32(order) % len(similar)] if similar else None


def _chunks(things: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(things)
    while chunk := list(islice(rest, size)):
        yield chunk
