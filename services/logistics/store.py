"""Logistics' tables: what a batch loads, and what it writes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from services.logistics.state import (
    Found,
    Fulfilment,
    Phase,
    PickList,
    Reservation,
    ReservationPhase,
    Return,
    ReturnPhase,
    SlotPhase,
    SlotState,
    StepBack,
    slot_key,
    utc,
)
from shared.contracts import order as ordering
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write, columns
from shared.runtime.sweep import Sweep
from shared.runtime.table import Key

LOAD_FULFILMENTS = """
    select order_id, store, phase, received_at, slot_start, slot_end, courier, queued_at, picking_at, picked_at,
           packed_at, handed_over_at, delivered_at, called_off_at, take_along
    from fulfilments where order_id = any($1::text[])"""
LOAD_PICK_LISTS = "select order_id, spus, quantities, delivery from pick_lists where order_id = any($1::text[])"
LOAD_SLOTS = """
    select s.store, s.starts_at, s.ends_at, s.places, s.reserved
    from unnest($1::text[], $2::timestamptz[]) as k (store, starts_at) join slots s using (store, starts_at)"""
LOAD_RESERVATIONS = """
    select order_id, store, phase, starts_at, code
    from reservations where order_id = any($1::text[])"""
LOAD_RETURNS = """
    select ticket_id, order_id, store, phase, announced_at, delivery, exchange, spus, quantities, courier, collected_at,
           returned_at, inspected_at, overdue_at, called_off_at, found
    from returns where ticket_id = any($1::text[])"""

NEW_FULFILMENTS = """
    insert into fulfilments (order_id, store, phase, received_at, slot_start, slot_end, courier, queued_at, picking_at,
                             picked_at, packed_at, handed_over_at, delivered_at, called_off_at, take_along)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
                         $7::text[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],
                         $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::text[])"""
_STAMPS = ("queued_at", "picking_at", "picked_at", "packed_at", "handed_over_at", "delivered_at", "called_off_at")
"""What a fulfilment has reached, and when: each is set once, to the time of the batch, and never taken back."""
_STAMPED = ", ".join(
    f"{name} = case when u.now & {1 << n} = 0 then f.{name} else $1 end" for n, name in enumerate(_STAMPS)
)
# Of one that is in the table already only what this batch has set: bit n of `now` stands for the nth stamp.
STEP_FULFILMENTS = f"""
    update fulfilments f set phase = u.phase, courier = u.courier, {_STAMPED}
    from unnest($2::text[], $3::text[], $4::text[], $5::int[]) u (order_id, phase, courier, now)
    where f.order_id = u.order_id"""
SAVE_SLOTS = """
    insert into slots (store, starts_at, ends_at, places, reserved)
    select * from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::int[], $5::int[])
    on conflict (store, starts_at) do update
    set ends_at = excluded.ends_at, places = excluded.places, reserved = excluded.reserved"""
SAVE_RESERVATIONS = """
    insert into reservations (order_id, store, phase, starts_at, code)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
    on conflict (order_id) do update set phase = excluded.phase, starts_at = excluded.starts_at, code = excluded.code"""
NEW_PICK_LISTS = """
    insert into pick_lists (order_id, spus, quantities, delivery)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])"""
AMEND_PICK_LISTS = """
    update pick_lists p set spus = u.spus, quantities = u.quantities
    from unnest($1::text[], $2::text[], $3::text[]) u (order_id, spus, quantities) where p.order_id = u.order_id"""
# Announced again, a return keeps its age and its address: what was swept does not come back.
SAVE_RETURNS = """
    insert into returns (ticket_id, order_id, store, phase, announced_at, delivery, exchange, spus, quantities, courier,
                         collected_at, returned_at, inspected_at, overdue_at, called_off_at, found)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::boolean[],
                         $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[],
                         $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::text[])
    on conflict (ticket_id) do update
    set phase = excluded.phase, exchange = excluded.exchange, spus = excluded.spus, quantities = excluded.quantities,
        courier = excluded.courier, collected_at = excluded.collected_at, returned_at = excluded.returned_at,
        inspected_at = excluded.inspected_at, overdue_at = excluded.overdue_at,
        called_off_at = excluded.called_off_at, found = excluded.found"""
APPEND_STEPS_BACK = """
    insert into steps_back (order_id, at, entered, reason, actor, spus, quantities, found)
    select * from unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::text[])"""

_NO_DELIVERY = "update pick_lists set delivery = null where order_id = any($1::text[]) and delivery is not null"
# Why an order could not be delivered, in the courier's words.
_NO_WORDS = """
    update steps_back set reason = ''
    where order_id = any($1::text[]) and entered = 'returning' and reason not in ('', 'intercepted')"""
_NO_DELIVERY_OF_RETURNS = """
    update returns set delivery = null where ticket_id = any($1::text[]) and delivery is not null"""
SWEEPS = (
    Sweep(
        "personal data",
        "personal_data_s",
        "fulfilments",
        "received_at",
        "order_id",
        "o.delivered_at is not null or o.called_off_at is not null",
        (_NO_DELIVERY, _NO_WORDS),
    ),
    Sweep(
        "personal data of returns",
        "personal_data_s",
        "returns",
        "announced_at",
        "ticket_id",
        "coalesce(o.inspected_at, o.overdue_at, o.called_off_at) is not null",
        (_NO_DELIVERY_OF_RETURNS,),
    ),
)
"""What is not kept of a store's work that is over."""


class LogisticsStore:
    """What the runtime asks of a service's tables (`shared.runtime.statement.Store`)."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """The states of all keys, one query per kind; None for what does not exist."""
        found: dict[Key, Any] = dict.fromkeys(keys)
        if orders := [key[1] for key in keys if key[0] == "fulfilment"]:
            for row in await connection.fetch(LOAD_FULFILMENTS, orders):
                found["fulfilment", row[0]] = Fulfilment(row[0], row[1], Phase(row[2]), *tuple(row)[3:])
        if orders := [key[1] for key in keys if key[0] == "pick_list"]:
            for order_id, spus, quantities, delivery in await connection.fetch(LOAD_PICK_LISTS, orders):
                found["pick_list", order_id] = PickList(
                    order_id,
                    tuple(json.loads(spus)),
                    tuple(json.loads(quantities)),
                    ordering.Delivery.model_validate_json(delivery) if delivery else None,
                )
        if slots := [key for key in keys if key[0] == "slot"]:
            stores, starts = [key[1] for key in slots], [datetime.fromisoformat(key[2]) for key in slots]
            for store, start, end, places, reserved in await connection.fetch(LOAD_SLOTS, stores, starts):
                slot = SlotState(store, utc(start), utc(end), SlotPhase.SET, places, reserved)
                found[slot_key(store, start)] = slot
        if orders := [key[1] for key in keys if key[0] == "reservation"]:
            for row in await connection.fetch(LOAD_RESERVATIONS, orders):
                found["reservation", row[0]] = Reservation(row[0], row[1], ReservationPhase(row[2]), row[3], row[4])
        if tickets := [key[1] for key in keys if key[0] == "return"]:
            for row in await connection.fetch(LOAD_RETURNS, tickets):
                found["return", row[0]] = _return(row)
        return found

    def save_many(self, commit: Commit) -> list[Write]:
        """A write per table."""
        fulfilments: list[Fulfilment] = []
        pick_lists: list[PickList] = []
        slots: list[SlotState] = []
        reservations: list[Reservation] = []
        returns: list[Return] = []
        for state in commit.states.values():
            if type(state) is Fulfilment:
                fulfilments.append(state)
            elif type(state) is PickList:
                pick_lists.append(state)
            elif type(state) is SlotState:
                slots.append(state)
            elif type(state) is Return:
                returns.append(state)
            else:
                reservations.append(state)
        writes = []
        at = commit.at
        if new := [f for f in fulfilments if f.received_at == at]:
            writes.append(Write("new_fulfilments", NEW_FULFILMENTS, _fulfilment_columns(new)))
        if steps := [(f.order_id, f.phase, f.courier, _stamped(f, at)) for f in fulfilments if f.received_at != at]:
            writes.append(Write("step_fulfilments", STEP_FULFILMENTS, [at, *columns(steps)]))
        if slots:
            writes.append(Write("save_slots", SAVE_SLOTS, _slot_columns(slots)))
        if reservations:
            writes.append(Write("save_reservations", SAVE_RESERVATIONS, _reservation_columns(reservations)))
        if pick_lists:
            begun = {f.order_id for f in new}
            if first := [p for p in pick_lists if p.order_id in begun]:
                writes.append(Write("new_pick_lists", NEW_PICK_LISTS, _pick_list_columns(first)))
            if again := [p for p in pick_lists if p.order_id not in begun]:
                writes.append(Write("amend_pick_lists", AMEND_PICK_LISTS, _pick_list_columns(again)[:3]))
        if returns:
            writes.append(Write("save_returns", SAVE_RETURNS, _return_columns(returns)))
        if steps_back := commit.records.get(StepBack):
            writes.append(Write("append_steps_back", APPEND_STEPS_BACK, _step_back_columns(steps_back)))
        return writes


def _return(row: Any) -> Return:
    return Return(
        ticket_id=row["ticket_id"],
        order_id=row["order_id"],
        store=row["store"],
        phase=ReturnPhase(row["phase"]),
        announced_at=row["announced_at"],
        delivery=ordering.Delivery.model_validate_json(row["delivery"]) if row["delivery"] else None,
        exchange=row["exchange"],
        spus=tuple(json.loads(row["spus"])),
        quantities=tuple(json.loads(row["quantities"])),
        courier=row["courier"],
        collected_at=row["collected_at"],
        returned_at=row["returned_at"],
        inspected_at=row["inspected_at"],
        overdue_at=row["overdue_at"],
        called_off_at=row["called_off_at"],
        found=tuple((spu, quantity, Found(found)) for spu, quantity, found in json.loads(row["found"])),
    )


def _fulfilment_columns(fulfilments: list[Fulfilment]) -> list[list[Any]]:
    return [
        [f.order_id for f in fulfilments],
        [f.store for f in fulfilments],
        [f.phase for f in fulfilments],
        [f.received_at for f in fulfilments],
        [f.slot_start for f in fulfilments],
        [f.slot_end for f in fulfilments],
        [f.courier for f in fulfilments],
        [f.queued_at for f in fulfilments],
        [f.picking_at for f in fulfilments],
        [f.picked_at for f in fulfilments],
        [f.packed_at for f in fulfilments],
        [f.handed_over_at for f in fulfilments],
        [f.delivered_at for f in fulfilments],
        [f.called_off_at for f in fulfilments],
        [f.take_along for f in fulfilments],
    ]


def _stamped(f: Fulfilment, at: datetime) -> int:
    """The stamps that this batch has set, a bit for each."""
    return (
        (f.queued_at == at)
        + 2 * (f.picking_at == at)
        + 4 * (f.picked_at == at)
        + 8 * (f.packed_at == at)
        + 16 * (f.handed_over_at == at)
        + 32 * (f.delivered_at == at)
        + 64 * (f.called_off_at == at)
    )


def _slot_columns(slots: list[SlotState]) -> list[list[Any]]:
    return [
        [s.store for s in slots],
        [s.start for s in slots],
        [s.end for s in slots],
        [s.places for s in slots],
        [s.reserved for s in slots],
    ]


def _reservation_columns(reservations: list[Reservation]) -> list[list[Any]]:
    return [
        [r.order_id for r in reservations],
        [r.store for r in reservations],
        [r.phase for r in reservations],
        [r.start for r in reservations],
        [r.code for r in reservations],
    ]


def _pick_list_columns(pick_lists: list[PickList]) -> list[list[Any]]:
    return [
        [p.order_id for p in pick_lists],
        [to_json(p.spus).decode() for p in pick_lists],
        [to_json(p.quantities).decode() for p in pick_lists],
        [p.delivery.model_dump_json(exclude_none=True) if p.delivery else None for p in pick_lists],
    ]


def _return_columns(returns: list[Return]) -> list[list[Any]]:
    return [
        [r.ticket_id for r in returns],
        [r.order_id for r in returns],
        [r.store for r in returns],
        [r.phase for r in returns],
        [r.announced_at for r in returns],
        [r.delivery.model_dump_json(exclude_none=True) if r.delivery else None for r in returns],
        [r.exchange for r in returns],
        [to_json(r.spus).decode() for r in returns],
        [to_json(r.quantities).decode() for r in returns],
        [r.courier for r in returns],
        [r.collected_at for r in returns],
        [r.returned_at for r in returns],
        [r.inspected_at for r in returns],
        [r.overdue_at for r in returns],
        [r.called_off_at for r in returns],
        [to_json(r.found).decode() for r in returns],
    ]


def _step_back_columns(steps: list[StepBack]) -> list[list[Any]]:
    return [
        [s.order_id for s in steps],
        [s.at for s in steps],
        [s.entered for s in steps],
        [s.reason for s in steps],
        [s.actor for s in steps],
        [to_json(s.spus).decode() for s in steps],
        [to_json(s.quantities).decode() for s in steps],
        [to_json(s.found).decode() for s in steps],
    ]
