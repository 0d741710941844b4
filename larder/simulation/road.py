"""What does not go the straight way in the store and on the road: short lines, shut doors, goods that come back.

Pickers, couriers and storekeepers know the list of an order from the commands that their store got.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from larder.simulation.people import Desk
from shared.contracts import logistics
from shared.runtime.envelope import Delivery as Record

BACK_S = (10.0, 1_000.0, 80_000.0, 120_000.0)
"""A courier is back within one of these: some come after the goods were written off."""
SHORT_EVENINGS = (0.0, 0.2, 0.5)
"""How often a picker misses something, by evening."""
SHUT_DOORS = (0.0, 0.15, 0.5)
"""How often nobody is at the door, by evening."""


class Road:
    """Pickers with gaps on the shelf, couriers before shut doors, and what comes of it. `not_come` tells how many
    pieces of an SPU a store has sold that have not come yet: nobody can pick those."""

    def __init__(self, desk: Desk, not_come: Callable[[str, str], int]) -> None:
        self.desk = desk
        self._not_come = not_come
        self.dice = dice = desk.dice
        self.short = dice.choice(SHORT_EVENINGS)
        self.shut = dice.choice(SHUT_DOORS)
        self._lists: dict[str, dict[str, int]] = {}
        self._coming_back: set[str] = set()
        watch = desk.around.log.watch
        watch(logistics.FulfilOrder.TYPE, self._learn_list)
        watch(logistics.AmendFulfilment.TYPE, self._pick_on)
        watch(logistics.DeliveryFailed.TYPE, self._turn_back)
        watch(logistics.FulfilmentIntercepted.TYPE, self._turn_back)

    # -- picking ---------------------------------------------------------------------------------------------------

    def _learn_list(self, record: Record) -> None:
        if record.value is not None and record.link:
            told = logistics.FulfilOrder.from_json(record.value)
            self._lists[told.order_id] = dict(zip(told.spus, told.quantities, strict=True))

    def _pick_on(self, record: Record) -> None:
        """The list was short and is another one: the picker goes on with it, and may miss something again."""
        if record.value is None or not record.link:
            return
        told = logistics.AmendFulfilment.from_json(record.value)
        self._lists[told.order_id] = dict(zip(told.spus, told.quantities, strict=True))
        self.report_picked(told.order_id, told.store, self.dice.choice((0.1, 2.0, 60.0)) * self.dice.random())

    def report_picked(self, order_id: str, store: str, after_s: float) -> None:
        """The picker is through; or misses something; or mistypes what, is refused, and says it again."""
        dice = self.dice
        report = partial(logistics.ReportPicked, order_id=order_id, store=store)
        listed = self._lists.get(order_id, {})
        if nowhere := {spu: n for spu, pieces in listed.items() if (n := min(pieces, self._not_come(store, spu)))}:
            self.desk.send(report(spus=tuple(nowhere), missing=tuple(nowhere.values())), "picker:", after_s=after_s)
            return
        if dice.random() < self.short and listed:
            if dice.random() < 0.1:
                spu, pieces = dice.choice([*listed.items(), ("moon-cheese", 0)])
                self.desk.send(report(spus=(spu,), missing=(pieces + 1,)), "picker:", after_s=after_s)
                after_s += 0.5
            spus, missing = zip(*some_of(listed, dice), strict=True)
            self.desk.send(report(spus=spus, missing=missing), "picker:", after_s=after_s)
            if dice.random() < 0.9:
                return
            after_s += dice.random()  # another picker finds everything, a moment later
        self.desk.send(report(), "picker:", after_s=after_s)

    # -- at the door -----------------------------------------------------------------------------------------------

    def come_to_door(self, order_id: str, store: str, after_s: float) -> None:
        """Somebody opens, or nobody does; now and then the courier clicks on both."""
        dice = self.dice
        delivered = logistics.ReportDelivered(order_id=order_id, store=store)
        shut = logistics.ReportUndeliverable(order_id=order_id, store=store, reason="nobody there")
        clicks = [shut if dice.random() < self.shut else delivered]
        if dice.random() < 0.05:
            clicks.append(dice.choice((shut, delivered)))
        for click in clicks:
            self.desk.send(click, "courier:", after_s=after_s + dice.random() * len(clicks))

    # -- coming back -----------------------------------------------------------------------------------------------

    def _turn_back(self, record: Record) -> None:
        """The goods come back to the store, soon, late, or never, and are looked at."""
        if record.value is None or not record.link or record.subject in self._coming_back:
            return
        self._coming_back.add(record.subject)
        dice, send = self.dice, self.desk.send
        told = (
            logistics.DeliveryFailed.from_json(record.value) if record.type == logistics.DeliveryFailed.TYPE else None
        )
        store = told.store if told else logistics.FulfilmentIntercepted.from_json(record.value).store
        order_id = record.subject
        if dice.random() < 0.15:
            return
        back_s = dice.choice(BACK_S) * dice.random()
        back = logistics.BringGoodsBack(order_id=order_id, store=store)
        send(back, "courier:", after_s=back_s)
        if dice.random() < 0.1:
            send(back, "courier:", after_s=back_s + dice.random())
        if dice.random() < 0.1:
            return  # it stands in a corner, and nobody looks at it
        inspect = partial(logistics.InspectGoods, order_id=order_id, store=store)
        looked_s = back_s + dice.choice((0.2, 5.0, 1_000.0, 100_000.0)) * dice.random() + 0.1
        if dice.random() < 0.1:  # too early, unknown lines, or more than was sent
            odd = dice.choice((found_of({"moon-cheese": 1}, dice), found_of({"spu-0": 999}, dice), found_of({}, dice)))
            send(inspect(**odd), f"storekeeper:{store}", after_s=dice.choice((back_s * 0.9, back_s + 0.1)))
        found = self._found_back(order_id)
        send(inspect(**found), f"storekeeper:{store}", after_s=looked_s)
        if dice.random() < 0.15:
            send(inspect(**self._found_back(order_id)), f"storekeeper:{store}", after_s=looked_s + dice.random())

    def _found_back(self, order_id: str) -> dict[str, Any]:
        """All of it, some of it, nothing; resellable or damaged, now and then an SPU in both states."""
        listed, dice = self._lists.get(order_id, {}), self.dice
        chance = dice.random()
        if chance < 0.6:
            return found_of(listed, dice)
        return found_of(dict(some_of(listed, dice)) if listed and chance < 0.9 else {}, dice)


def some_of(listed: dict[str, int], dice: Random) -> list[tuple[str, int]]:
    """Some pieces of some lines of a list, at least one; now and then all of it."""
    if dice.random() < 0.15:
        return list(listed.items())
    spus = dice.sample(list(listed), dice.randint(1, len(listed)))
    return [(spu, dice.randint(1, listed[spu])) for spu in spus]


def found_of(pieces: dict[str, int], dice: Random) -> dict[str, Any]:
    """What a storekeeper says of these: all of an SPU resellable, or some of it damaged."""
    lines: list[tuple[str, int, bool]] = []
    for spu, quantity in pieces.items():
        good = quantity if dice.random() < 0.6 else dice.randint(0, quantity)
        lines += [(spu, n, resellable) for n, resellable in ((good, True), (quantity - good, False)) if n]
    spus, quantities, resellable = zip(*lines, strict=True) if lines else ((), (), ())
    return {"spus": spus, "quantities": quantities, "resellable": resellable}
