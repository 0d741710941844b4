"""What people see of the stores' work: fulfilments and slots, read from the tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import BaseModel

from services.logistics import inner
from services.logistics.decider import FULFILMENT, RETURN
from services.logistics.state import Phase, ReturnPhase, utc
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Slot
from shared.http.auth import Role

ACTIONS: dict[Role, dict[str, type]] = {
    Role.PICKER: {
        "start-picking": logistics.StartPicking,
        "picked": logistics.ReportPicked,
        "packed": logistics.ReportPacked,
    },
    Role.COURIER: {
        "handed-over": logistics.HandOver,
        "delivered": logistics.ReportDelivered,
        "undeliverable": logistics.ReportUndeliverable,
        "goods-back": logistics.BringGoodsBack,
    },
    Role.STOREKEEPER: {"inspected": inner.GoodsSorted},
}
"""What `allowed` may name, by whose work it is: the part of the address behind the fulfilment's."""
ACTIONS[Role.ADMIN] = ACTIONS[Role.PICKER] | ACTIONS[Role.COURIER] | ACTIONS[Role.STOREKEEPER]
RETURN_ACTIONS: dict[Role, dict[str, type]] = {
    Role.COURIER: {"collected": logistics.CollectReturn, "goods-back": logistics.BringReturn},
    Role.STOREKEEPER: {"goods-back": logistics.BringReturn, "inspected": inner.GoodsSorted},
}
"""The same for returns; customers bring some themselves."""
RETURN_ACTIONS[Role.ADMIN] = RETURN_ACTIONS[Role.COURIER] | RETURN_ACTIONS[Role.STOREKEEPER]

_STORE_OF = "select store from fulfilments where order_id = $1"
_WITH_STEPS = """
    select f.*, p.spus, p.quantities, p.delivery, r.spus as along_spus, r.quantities as along_quantities, array(
        select json_build_object('at', s.at, 'phase', s.entered, 'reason', s.reason, 'actor', s.actor,
                                 'spus', s.spus::json, 'quantities', s.quantities::json, 'found', s.found::json)::text
        from steps_back s where s.order_id = f.order_id order by s.seq
    ) as steps"""
_LISTED = "join pick_lists p using (order_id) left join returns r on r.ticket_id = f.take_along"
_FULFILMENT = f"{_WITH_STEPS} from fulfilments f {_LISTED} where f.order_id = $1"
# Open, delivered and called-off ones have an index each (schema.sql). The condition on $2 alone is looked at once, so a
# list of queued orders never walks along the delivered ones.
_BEHIND = """
    f.store = $1 and ($2::text is null or f.phase = $2)
    and (f.received_at, f.order_id) > (coalesce($3, '-infinity'::timestamptz), coalesce($4, ''))
    order by f.received_at, f.order_id limit $5"""
_LIST = f"""
    {_WITH_STEPS} from (
        (select * from fulfilments f
         where delivered_at is null and called_off_at is null
           and ($2::text is null or $2 not in ('delivered', 'stopped', 'inspected')) and {_BEHIND})
        union all
        (select * from fulfilments f
         where delivered_at is not null and ($2::text is null or $2 = 'delivered') and {_BEHIND})
        union all
        (select * from fulfilments f
         where called_off_at is not null and ($2::text is null or $2 in ('stopped', 'inspected')) and {_BEHIND})
    ) f {_LISTED}
    order by f.received_at, f.order_id limit $5"""
_RETURN_OF = "select order_id, store from returns where ticket_id = $1"
_RETURN = "select * from returns where ticket_id = $1"
_RETURNS_BEHIND = """
    (announced_at, ticket_id) > (coalesce($2, '-infinity'::timestamptz), coalesce($3, ''))
    order by announced_at, ticket_id limit $4"""
_RETURNS = f"select * from returns where store = $1 and {_RETURNS_BEHIND}"
_RETURNS_IN_PHASE = f"select * from returns where store = $1 and phase = $5 and {_RETURNS_BEHIND}"
_SLOTS = """
    select starts_at, ends_at, places, reserved from slots
    where store = $1 and starts_at > coalesce($2, '-infinity'::timestamptz)
      and ends_at > coalesce($3, '-infinity'::timestamptz)
    order by starts_at limit $4"""
_SLOTS_AT = """
    select starts_at, ends_at, places, reserved from slots
    where store = $1 and starts_at = any($2::timestamptz[]) order by starts_at"""


class LineOut(BaseModel):
    """Pieces of one SPU."""

    spu: str
    quantity: int


class ShortOut(BaseModel):
    """Pieces of one SPU that the picker did not find."""

    spu: str
    missing: int


class FoundOut(BaseModel):
    """Pieces of one SPU, and what was found of them: short, resellable, damaged or missing."""

    spu: str
    quantity: int
    found: str


class StepOut(BaseModel):
    """A step of an order that does not go the straight way: the phase it entered, why, and what was found."""

    at: datetime
    phase: str
    reason: str
    actor: str
    lines: list[FoundOut]


class AlongOut(BaseModel):
    """The old goods that the courier takes along, and their ticket."""

    ticket_id: str
    lines: list[LineOut]


class FulfilmentPage(BaseModel):
    """The store's work on one order; times are null until it is that far. `lines` are what is to be picked now, `short`
    what of it the picker waits for; `back` tells how it left the straight way."""

    order_id: str
    store: str
    phase: str
    lines: list[LineOut]
    slot: Slot | None
    delivery: ordering.Delivery | None
    courier: str | None
    received_at: datetime
    queued_at: datetime | None
    picking_at: datetime | None
    picked_at: datetime | None
    packed_at: datetime | None
    handed_over_at: datetime | None
    delivered_at: datetime | None
    called_off_at: datetime | None
    short: list[ShortOut]
    back: list[StepOut]
    take_along: AlongOut | None
    allowed: list[str]


class ReturnPage(BaseModel):
    """Goods of a ticket that a customer gives back; times are null until it is that far. They came with `order_id`;
    `found` is what the inspection found of them."""

    ticket_id: str
    order_id: str
    store: str
    phase: str
    exchange: bool
    lines: list[LineOut]
    delivery: ordering.Delivery | None
    courier: str | None
    announced_at: datetime
    collected_at: datetime | None
    returned_at: datetime | None
    inspected_at: datetime | None
    overdue_at: datetime | None
    called_off_at: datetime | None
    found: list[FoundOut]
    allowed: list[str]


class SlotRow(BaseModel):
    """A slot: how many orders it takes, how many have a place, and how many more may have one."""

    start: datetime
    end: datetime
    places: int
    reserved: int
    free: int


class Fulfilments:
    """Reads fulfilments for people."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def store_of(self, order_id: str) -> str | None:
        """The store that fulfils an order."""
        store: str | None = await self._pool.fetchval(_STORE_OF, order_id)
        return store

    async def page(self, order_id: str, role: Role) -> FulfilmentPage | None:
        """The fulfilment of an order, as somebody of this role sees it."""
        row = await self._pool.fetchrow(_FULFILMENT, order_id)
        return _page(row, role) if row else None

    async def some(
        self, store: str, phase: str | None, role: Role, after: Sequence[Any], limit: int
    ) -> list[FulfilmentPage]:
        """A store's fulfilments, the one that waits longest first."""
        return [_page(row, role) for row in await self._pool.fetch(_LIST, store, phase, *after, limit)]


class Returns:
    """Reads returns for people."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def names_of(self, ticket_id: str) -> tuple[str, str] | None:
        """The order that the goods came with, and the store that they go to."""
        row = await self._pool.fetchrow(_RETURN_OF, ticket_id)
        return (row["order_id"], row["store"]) if row else None

    async def page(self, ticket_id: str, role: Role) -> ReturnPage | None:
        """The return of a ticket, as somebody of this role sees it."""
        row = await self._pool.fetchrow(_RETURN, ticket_id)
        return _return_page(row, role) if row else None

    async def some(
        self, store: str, phase: str | None, role: Role, after: Sequence[Any], limit: int
    ) -> list[ReturnPage]:
        """A store's returns, the one announced first first."""
        sql, more = (_RETURNS_IN_PHASE, (phase,)) if phase else (_RETURNS, ())
        return [_return_page(row, role) for row in await self._pool.fetch(sql, store, *after, limit, *more)]


class Slots:
    """Reads slots for people."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def some(self, store: str, since: datetime | None, after: Sequence[Any], limit: int) -> list[SlotRow]:
        """A store's slots by start; with `since` those that are not over by then."""
        return [_slot(row) for row in await self._pool.fetch(_SLOTS, store, after[0], since, limit)]

    async def at(self, store: str, starts: Sequence[datetime]) -> list[SlotRow]:
        """The slots of a store that begin at these instants."""
        return [_slot(row) for row in await self._pool.fetch(_SLOTS_AT, store, starts)]


def _page(row: Any, role: Role) -> FulfilmentPage:
    back = [_step(json.loads(step)) for step in row["steps"]]
    short = back[-1].lines if row["phase"] == Phase.SHORT else []
    return FulfilmentPage(
        order_id=row["order_id"],
        store=row["store"],
        phase=row["phase"],
        lines=_lines(row["spus"], row["quantities"]),
        slot=Slot(start=row["slot_start"], end=row["slot_end"]) if row["slot_start"] else None,
        delivery=ordering.Delivery.model_validate_json(row["delivery"]) if row["delivery"] else None,
        courier=row["courier"],
        received_at=row["received_at"],
        queued_at=row["queued_at"],
        picking_at=row["picking_at"],
        picked_at=row["picked_at"],
        packed_at=row["packed_at"],
        handed_over_at=row["handed_over_at"],
        delivered_at=row["delivered_at"],
        called_off_at=row["called_off_at"],
        short=[ShortOut(spu=line.spu, missing=line.quantity) for line in short],
        back=back,
        take_along=_along(row) if row["take_along"] else None,
        allowed=FULFILMENT.allowed(Phase(row["phase"]), ACTIONS.get(role, {})),
    )


def _lines(spus: str, quantities: str) -> list[LineOut]:
    lines = zip(json.loads(spus), json.loads(quantities), strict=True)
    return [LineOut(spu=spu, quantity=quantity) for spu, quantity in lines]


def _along(row: Any) -> AlongOut:
    return AlongOut(ticket_id=row["take_along"], lines=_lines(row["along_spus"], row["along_quantities"]))


def _return_page(row: Any, role: Role) -> ReturnPage:
    return ReturnPage(
        ticket_id=row["ticket_id"],
        order_id=row["order_id"],
        store=row["store"],
        phase=row["phase"],
        exchange=row["exchange"],
        lines=_lines(row["spus"], row["quantities"]),
        delivery=ordering.Delivery.model_validate_json(row["delivery"]) if row["delivery"] else None,
        courier=row["courier"],
        announced_at=row["announced_at"],
        collected_at=row["collected_at"],
        returned_at=row["returned_at"],
        inspected_at=row["inspected_at"],
        overdue_at=row["overdue_at"],
        called_off_at=row["called_off_at"],
        found=[FoundOut(spu=spu, quantity=pieces, found=found) for spu, pieces, found in json.loads(row["found"])],
        allowed=RETURN.allowed(ReturnPhase(row["phase"]), RETURN_ACTIONS.get(role, {})),
    )


def _step(step: Any) -> StepOut:
    lines = zip(step["spus"], step["quantities"], step["found"], strict=True)
    return StepOut(
        at=step["at"],
        phase=step["phase"],
        reason=step["reason"],
        actor=step["actor"],
        lines=[FoundOut(spu=spu, quantity=quantity, found=found) for spu, quantity, found in lines],
    )


def _slot(row: Any) -> SlotRow:
    places, reserved = row["places"], row["reserved"]
    return SlotRow(
        start=utc(row["starts_at"]),
        end=utc(row["ends_at"]),
        places=places,
        reserved=reserved,
        free=max(0, places - reserved),
    )
