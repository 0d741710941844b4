"""What does not stay for ever goes once its time has come and it is over, in portions; everything else stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from services.aftersales import api as aftersales_api
from services.aftersales.decider import DECIDER as AFTERSALES
from services.aftersales.store import SWEEPS as AFTERSALES_SWEEPS
from services.aftersales.store import AftersalesStore
from services.logistics import api as logistics_api
from services.logistics.decider import DECIDER as LOGISTICS
from services.logistics.store import SWEEPS as LOGISTICS_SWEEPS
from services.logistics.store import LogisticsStore
from services.order import api as order_api
from services.order.decider import DECIDER as ORDER
from services.order.store import SWEEPS as ORDER_SWEEPS
from services.order.store import OrderStore
from services.risk import api as risk_api
from services.risk.decider import DECIDER as RISK
from services.risk.store import SWEEPS as RISK_SWEEPS
from services.risk.store import RiskStore
from shared.contracts import aftersales, logistics, risk
from shared.contracts import order as ordering
from shared.runtime import sweep
from shared.runtime.sweep import Sweep, Sweeper
from tests.deciders.orders import DOOR, SHOP
from tests.deciders.tickets import raised, settled
from tests.parts import RealParts
from tests.services.inside import SETTINGS, Inside, inside

pytestmark = pytest.mark.parts

AREA = {"type": "Polygon", "coordinates": [[[13.3, 52.4], [13.5, 52.4], [13.5, 52.6], [13.3, 52.6], [13.3, 52.4]]]}
DAY = timedelta(days=1)
SERVICES: dict[str, tuple[Any, Any, Any, tuple[Sweep, ...]]] = {
    "order": (ORDER, OrderStore, order_api, ORDER_SWEEPS),
    "logistics": (LOGISTICS, LogisticsStore, logistics_api, LOGISTICS_SWEEPS),
    "aftersales": (AFTERSALES, AftersalesStore, aftersales_api, AFTERSALES_SWEEPS),
    "risk": (RISK, RiskStore, risk_api, RISK_SWEEPS),
}
Sweeping = Callable[[float], Awaitable[None]]


@asynccontextmanager
async def running(name: str, parts: RealParts) -> AsyncIterator[tuple[Inside, Sweeping]]:
    """A service with an empty database, and its sweeper with the default settings, so many days from now."""
    decider, store, api, sweeps = SERVICES[name]
    async with inside(decider, store(), api.routes, parts.fresh_database) as service, service.pool.acquire() as own:
        sweeper = Sweeper(own, sweeps, SETTINGS)
        yield service, lambda days: sweeper.sweep(datetime.now(UTC) + days * DAY)


@pytest.fixture
def portions_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat sweeps two of a kind, and no more."""
    monkeypatch.setattr(sweep, "SWEPT_AT_ONCE", 2)
    monkeypatch.setattr(sweep, "SWEEPING_S", 0)


async def placed(service: Inside, *order_ids: str) -> None:
    """Orders with an address and a device."""
    items = [{"spu": key[1], "name": key[1], "price": p.price} for key, p in SHOP.items() if key[0] == "product"]
    assert (await service.ask("PUT", "/products", {"items": items})).status_code == 200
    assert (await service.ask("PUT", "/stores/s-1", {"name": "one", "area": AREA})).status_code == 200
    for order_id in order_ids:
        await service.hear(
            ordering.PlaceOrder(
                order_id=order_id,
                account="a-1",
                store="s-1",
                spus=("milk", "bread"),
                quantities=(2, 1),
                delivery=DOOR,
                device="d-1",
            )
        )


async def page(service: Inside, path: str) -> dict[str, Any]:
    """What staff see."""
    answer = await service.ask("GET", path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def count(service: Inside, sql: str) -> int:
    """How many there are."""
    return int(await service.pool.fetchval(f"select count(*) from {sql}"))


async def test_an_order_s_address_goes_once_it_is_over_and_old(parts: RealParts) -> None:
    """Not before its time, nor of an order that is open; lines, sums and timeline stay, and its page can be read."""
    async with running("order", parts) as (service, sweep_after):
        await placed(service, "o-1", "o-2")
        await service.hear(risk.OrderRefused(order_id="o-1"))
        before = await page(service, "/orders/o-1")
        await sweep_after(89)
        assert await page(service, "/orders/o-1") == before
        await sweep_after(91)
        after = await page(service, "/orders/o-1")
        assert (before["delivery"], after["delivery"]) == (DOOR.model_dump(), None)
        assert after == {**before, "delivery": None}
        assert await count(service, "baskets where device is not null") == 1
        assert (await page(service, "/orders/o-2"))["delivery"] is not None


async def test_what_ends_late_is_swept_late(parts: RealParts) -> None:
    """It was passed while it was open: it is looked at again, and does not bring back what went, also from memory."""
    async with running("order", parts) as (service, sweep_after):
        await placed(service, "o-1")
        await sweep_after(91)
        assert (await page(service, "/orders/o-1"))["delivery"] is not None
        await service.hear(risk.OrderRefused(order_id="o-1"))
        await sweep_after(91.01)  # a quarter of an hour later: not looked at again yet
        assert (await page(service, "/orders/o-1"))["delivery"] is not None
        await sweep_after(91.1)
        assert (await page(service, "/orders/o-1"))["delivery"] is None
        assert await count(service, "sweeps_later where name = 'personal data'") == 0
        await service.hear(risk.OrderRefused(order_id="o-1"))
        assert (await page(service, "/orders/o-1"))["delivery"] is None


async def test_portions_come_to_an_end(parts: RealParts, portions_of_two: None) -> None:
    """Each beat takes so many, the oldest first, whether they can go or not, until all are through."""
    async with running("order", parts) as (service, sweep_after):
        orders = [f"o-{number}" for number in range(5)]
        await placed(service, *orders)
        for order_id in orders[1:]:
            await service.hear(risk.OrderRefused(order_id=order_id))
        left = []
        for _ in range(4):
            await sweep_after(91)
            left.append(await count(service, "baskets where delivery is not null"))
        assert left == [4, 2, 1, 1]
        await service.hear(risk.OrderRefused(order_id="o-0"))
        await sweep_after(92)
        assert await count(service, "baskets where delivery is not null") == 0


async def test_one_beat_takes_all_that_is_due(parts: RealParts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Portion after portion, so that sweeping keeps up however many orders come."""
    monkeypatch.setattr(sweep, "SWEPT_AT_ONCE", 2)
    monkeypatch.setattr(sweep, "SWEEPING_S", 30)
    async with running("order", parts) as (service, sweep_after):
        await placed(service, *(f"o-{number}" for number in range(7)))
        for number in range(7):
            await service.hear(risk.OrderRefused(order_id=f"o-{number}"))
        await sweep_after(91)
        assert await count(service, "baskets where delivery is not null or device is not null") == 0


async def test_a_timeline_goes_after_its_own_time(parts: RealParts) -> None:
    """The order stays, with its lines and its end."""
    async with running("order", parts) as (service, sweep_after):
        await placed(service, "o-1", "o-2")
        await service.hear(risk.OrderRefused(order_id="o-1"))
        await sweep_after(399)
        assert await count(service, "timeline where order_id = 'o-1'") > 0
        await sweep_after(401)
        assert (await page(service, "/orders/o-1"))["timeline"] == []
        assert (await page(service, "/orders/o-1"))["phase"] == "rejected"
        assert await count(service, "timeline where order_id = 'o-2'") > 0


async def test_people_s_words_go_from_the_papers(parts: RealParts) -> None:
    """Why a ticket was rejected; that it was, and what larder itself says, stays."""
    async with running("order", parts) as (service, sweep_after):
        await placed(service, "o-1")
        await service.hear(risk.OrderRefused(order_id="o-1"))
        words: list[tuple[aftersales.TicketKind, str]] = [
            ("missing_goods", "he shouted at Maria"),
            ("intercept", "not_in_delivery"),
        ]
        for kind, note in words:
            ended = aftersales.TicketEnded(
                order_id="o-1", ticket_id=f"t-{kind}", kind=kind, phase="rejected", note=note
            )
            await service.hear(ended)
        assert len((await page(service, "/orders/o-1"))["tickets"]) == 2
        await sweep_after(91)
        notes = {t["ticket_id"]: t["note"] for t in (await page(service, "/orders/o-1"))["tickets"]}
        assert notes == {"t-missing_goods": "", "t-intercept": "not_in_delivery"}


async def test_a_fulfilment_s_address_goes(parts: RealParts) -> None:
    """With the courier's words about the customer; what was picked, and by whom it was brought, stays."""
    async with running("logistics", parts) as (service, sweep_after):
        for number in (1, 2):
            await service.hear(
                logistics.FulfilOrder(
                    order_id=f"o-{number}", store="s-1", spus=("apple",), quantities=(2,), slot=None, delivery=DOOR
                )
            )
        steps: list[tuple[str, Any]] = [
            ("start-picking", {}),
            ("picked", {"short": []}),
            ("packed", None),
            ("handed-over", {"courier": "c-1"}),
            ("undeliverable", {"reason": "her dog bites"}),
            ("goods-back", {}),
            ("inspected", {"lines": [{"spu": "apple", "quantity": 2, "resellable": True}]}),
        ]
        for step, body in steps:
            assert (await service.ask("POST", f"/fulfilments/o-1/{step}", body)).status_code == 202, step
        before = await page(service, "/fulfilments/o-1")
        assert (before["delivery"]["address"], "her dog bites" in str(before)) == (DOOR.address, True)
        await sweep_after(91)
        after = await page(service, "/fulfilments/o-1")
        assert (after["delivery"], "her dog bites" in str(after)) == (None, False)
        assert (after["lines"], after["courier"], after["phase"]) == (before["lines"], "c-1", "inspected")
        assert (await page(service, "/fulfilments/o-2"))["delivery"] is not None


async def test_a_return_s_address_goes(parts: RealParts) -> None:
    """Once its goods are at the store or overdue; what they were stays."""
    async with running("logistics", parts) as (service, sweep_after):
        for number in (1, 2):
            await service.hear(
                logistics.AnnounceReturn(
                    order_id="o-1",
                    store="s-1",
                    ticket_id=f"t-{number}",
                    spus=("apple",),
                    quantities=(2,),
                    delivery=DOOR,
                )
            )
        looked = {"lines": [{"spu": "apple", "quantity": 2, "resellable": True}]}
        for step, body in (("goods-back", {}), ("inspected", looked)):
            assert (await service.ask("POST", f"/returns/t-1/{step}", body)).status_code == 202, step
        before = await page(service, "/returns/t-1")
        await sweep_after(89)
        assert await page(service, "/returns/t-1") == before
        await sweep_after(91)
        assert await page(service, "/returns/t-1") == {**before, "delivery": None}
        assert (await page(service, "/returns/t-2"))["delivery"]["address"] == DOOR.address
        assert await service.time_passes(86_410) == ["ReturnOverdue"]
        await sweep_after(92)
        assert await count(service, "returns where delivery is not null") == 0


async def test_a_ticket_s_words_go(parts: RealParts) -> None:
    """What a person wrote; codes stay, and so does all of a ticket that is open."""
    async with running("aftersales", parts) as (service, sweep_after):
        await service.hear(raised("missing_goods", "t-1"))
        answer = await service.ask("POST", "/tickets/t-1/reject", {"reason": "he shouted at Maria"})
        assert answer.status_code == 202, answer.text
        await service.hear(raised("missing_goods", "t-2"))
        await service.hear(
            aftersales.OpenTicket(order_id="o-1", ticket_id="t-3", kind="intercept", reason="she moved out")
        )
        await service.hear(settled("rejected", "not_in_delivery", "t-3"))
        await service.hear(
            aftersales.OpenTicket(order_id="o-1", ticket_id="t-4", kind="intercept", reason="he is abroad")
        )
        await sweep_after(91)
        told = {f"t-{n}": await page(service, f"/tickets/t-{n}") for n in (1, 2, 3, 4)}
        assert {t: (p["reason"], p["note"]) for t, p in told.items()} == {
            "t-1": ("not on the shelf", ""),
            "t-2": ("not on the shelf", ""),
            "t-3": ("", "not_in_delivery"),
            "t-4": ("he is abroad", ""),
        }
        await service.forget()
        answer = await service.ask("POST", "/tickets/t-2/reject", {"reason": "he found it"})
        assert answer.json()["note"] == "he found it"


async def test_a_review_s_device_and_address_go(parts: RealParts) -> None:
    """The verdict and who gave it stay; an open review is shown whole."""
    async with running("risk", parts) as (service, sweep_after):
        referred = {"reason": "chargebacks", "treatment": "refer"}
        assert (await service.ask("PUT", "/blocklist/account/a-1", referred)).status_code == 200
        for number in (1, 2):
            await service.hear(
                risk.ScreenOrder(order_id=f"o-{number}", account="a-1", device="d-1", address=DOOR.address, total=649)
            )
        verdict = {"verdict": "clear", "note": "known to Maria"}
        assert (await service.ask("POST", "/reviews/o-1", verdict)).status_code == 202
        await sweep_after(91)
        decided, waiting = await page(service, "/reviews/o-1"), await page(service, "/reviews/o-2")
        assert (decided["device"], decided["address"], decided["note"], decided["verdict"]) == (None, None, "", "clear")
        assert (waiting["device"], waiting["address"]) == ("d-1", DOOR.address)


async def test_parked_messages_go_when_they_are_settled_and_old(parts: RealParts, portions_of_two: None) -> None:
    """Whole, and in portions; what is open is kept for good, and so is what somebody has just asked for."""
    async with running("risk", parts) as (service, sweep_after):
        await service.pool.execute(
            """insert into parked (shard, subject, topic, kafka_partition, kafka_offset, message_id, message_type,
                headers, code, reason, parked_at, state)
            select 0, 'o-1', 't', 0, n, 'm', 'T', '[]', 'no_cell', '', now(), s
            from generate_series(1, 3) n, unnest(array['parked', 'replayed', 'dropped']) s"""
        )
        await sweep_after(29)
        assert await count(service, "parked") == 9
        left = []
        for _ in range(4):
            await sweep_after(31)
            left.append(await count(service, "parked"))
        assert left == [7, 5, 3, 3]
        assert await count(service, "parked where state = 'parked'") == 3


async def test_of_two_workers_one_sweeps(parts: RealParts) -> None:
    """The other finds nothing to do, and does not wait."""
    async with running("order", parts) as (service, sweep_after):
        await placed(service, "o-1")
        await service.hear(risk.OrderRefused(order_id="o-1"))
        lock = "select pg_try_advisory_xact_lock($1, hashtext($2))"
        async with service.pool.acquire() as other:  # the pool's last one
            async with other.transaction():
                assert all([await other.fetchval(lock, sweep.LOCK, one.name) for one in ORDER_SWEEPS])
                await sweep_after(91)
                assert await other.fetchval("select count(*) from baskets where delivery is not null") == 1
            await sweep_after(91)
            assert await other.fetchval("select count(*) from baskets where delivery is not null") == 0


ORDERS = """
insert into orders (order_id, phase, phase_since, account, store, placed_at, total, attempt, method, paid, refunded,
    refunds, closing_refund, reference, reason, given_back, tickets, ticket_id, ended)
select 'o-' || n, 'closed', now(), 'a-1', 's-1', now() - n * interval '1 minute', 1, 1, '', 0, 0, 0, 0, '', '', 0,
    0, '', true
from generate_series(1, 20000) n"""


async def test_a_portion_of_many_reads_no_more_than_a_portion(parts: RealParts) -> None:
    """It walks the index from its place on, and sorts nothing, with the planner as it is."""
    async with running("order", parts) as (service, _), service.pool.acquire() as own:
        await own.execute(f"{ORDERS}; analyze orders; insert into sweeps values ('personal data', '-infinity', '')")
        plan = await explained(own, ORDER_SWEEPS[0])
        new = plan[: plan.index("sweeps_later")]
        assert "Index Scan using orders_by_age on orders" in new, plan
        assert "Sort" not in new, plan


async def test_every_sweep_has_an_index_to_walk(parts: RealParts) -> None:
    """By age and key, so that a look when nothing is due reads one entry of it, however many rows there are."""
    for name, (*_, sweeps) in SERVICES.items():
        async with running(name, parts) as (service, _), service.pool.acquire() as own:
            await own.execute("set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off")
            for one in sweeps:
                plan = await explained(own, one)
                new = plan[: plan.index("sweeps_later")]
                assert f"ROW({one.at}, {one.key}) > ROW(place.at, place.key)" in new, plan
                assert "Sort" not in new, plan


async def explained(connection: asyncpg.pool.PoolConnectionProxy, one: Sweep) -> str:
    """How the database would look for what is next."""
    now = datetime.now(UTC)
    rows = await connection.fetch(f"explain {one.aged}", one.name, sweep.LOCK, now, now, 500)
    return "\n".join(row[0] for row in rows)
