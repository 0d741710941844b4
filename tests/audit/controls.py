"""A small healthy world, written by hand into all books: one order for each way that an order can go.

`World.write` fills the books, `World.break_` does something to them that no service would do.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from larder.audit import Report, audit
from shared.settings import Settings

STORE = "s-1"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = datetime(2126, 1, 1, tzinfo=UTC)
"""When timers of the world are due."""
SLOT = datetime(2126, 1, 2, 10, tzinfo=UTC)
PRICES = {"apple": 250, "milk": 199, "bread": 320, "pear": 101, "tea": 333, "cake": 500, "mango": 700}
RECEIVED = {"apple": 100, "milk": 100, "bread": 10, "pear": 100, "tea": 100, "cake": 9}
ALLOTTED, EXPECTED, ARRIVED = 5, 4, 1
"""Pieces of cake that the sale `dawn` may sell; of mango that were to come, and that have come."""
YESTERDAY = NOON - timedelta(days=1)
_GOODS = {"spus": ["pear", "tea"]}
PROMOTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "ten": (
        {"kind": "percent", "value": 20, "spus": ["pear"], "per_account": 3},
        {"kind": "percent", "value": 10, "spus": ["pear"], "per_account": 3},
    ),
    "five": ({"kind": "percent", "value": 5, **_GOODS},),
    "three": ({"kind": "buy_n_pay_m", "value": 0, "n": 3, "m": 2, "categories": ["hot"]},),
    "whole": ({"kind": "amount_off", "value": 100, "min_total": 500, **_GOODS},),
    "elsewhere": ({"kind": "percent", "value": 100, "stores": ["s-2"]},),
    "welcome": ({"kind": "coupon", "value": 50, "per_account": 1, **_GOODS},),
    "gift": ({"kind": "coupon", "value": 5_000, "per_account": 1, "account": "a-1", **_GOODS},),
    "dawn": ({"kind": "flash", "value": 250, "spus": ["cake"], "per_account": 3},),
}
"""Each with its revisions, written an hour after each other."""

DEDUCTED = {
    "awaiting_picking": "queued",
    "picking": "picking",
    "short": "short",
    "returning": "returning",
    "delivered": "delivered",
    "closed": "delivered",
}


WAY = [
    *("screening", "holding", "awaiting_payment", "verifying", "paying", "deducting", "awaiting_picking", "picking"),
    *("awaiting_shipment", "in_delivery", "delivered", "closed"),
]
"""The straight way."""
ASIDE = {
    "in_review": ("screening", "in_review"),
    "short": ("picking", "short"),
    "returning": ("in_delivery", "returning"),
    "released": ("awaiting_payment", "releasing cancelled"),
    "reversed": ("awaiting_picking", "stopping reversing refunding cancelled"),
    "sold_out": ("deducting", "refunding cancelled"),
    "not_reachable": ("in_delivery", "returning refunding cancelled"),
    "short_at_once": ("holding", "rejected"),
    "refused": ("screening", "rejected"),
}
"""Where an order left it, by its phase or by the way it ended, and where it went from there."""
MOVED_BY = {"screening": "PlaceOrder", "short": "PiecesShort", "releasing": "PaymentExpired"}
"""The message that brings an order into a phase, where it matters."""
STEPS = ("queued", "picking", "picked", "packed", "on_the_road", "delivered")
"""The store's, each with a time of its own; what comes back was on the road."""
REASONS = {"refused": "refused_by_risk", "released": "payment_expired"}
"""Why an order came to nothing, where that is not the way it ended."""
DEEDS = {"not_reachable": "unreachable", "released": "expired"}
"""What risk knows of an order that its customer ended; of any other that came to nothing, that it ended."""
SAID = {
    "cleared": ("clear", None),
    "restricted": ("restrict", "rules_restricted"),
    "in_review": ("refer", "device_referred"),
    "refused": ("refuse", "account_blocked"),
}
"""What risk said and why, of a screening in each phase."""
RULES = (
    '{"rules": {"many_orders": {"signal": "orders", "threshold": 1, "window_s": 60, "weight": 40, "treatment": null, '
    '"enabled": true}}, "levels": {"restrict": 30, "refer": 100, "refuse": null}}'
)
SPOKE = '[["many_orders", 2, 1, 40]]'
"""The rules of this world, and how one of them speaks."""


@dataclass(frozen=True)
class Tale:
    """One order, and how it went. `way` says how an order ended that was called off."""

    order_id: str
    phase: str
    lines: dict[str, int]
    mode: str | None = "lock"
    way: str = ""
    slot: bool = False
    stray: bool = False
    dropped: tuple[tuple[str, int], ...] = ()
    applied: tuple[tuple[Any, ...], ...] = ()
    coupons: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    sale: str = ""
    presale: tuple[str, ...] = ()

    @property
    def pieces(self) -> list[tuple[str, int, int]]:
        """SPU, pieces and what was paid for each of them, as ordered."""
        found = []
        for n, (spu, quantity) in enumerate(self.lines.items()):
            total = PRICES[spu] * quantity - sum(one[3][n] for one in self.applied)
            price, dearer = divmod(total, quantity)
            found += [(spu, dearer, price + 1)] if dearer else []
            found += [(spu, quantity - dearer, price)]
        return found

    @property
    def lots(self) -> list[tuple[str, int, int]]:
        """The same of what is delivered: the cheapest pieces are dropped first."""
        missing, found = dict(self.dropped), []
        for spu, quantity, price in reversed(self.pieces):
            gone = min(quantity, missing.get(spu, 0))
            missing[spu] = missing.get(spu, 0) - gone
            found += [(spu, quantity - gone, price)] if quantity > gone else []
        return found[::-1]

    @property
    def discounts(self) -> str | None:
        """As the basket has them."""
        if not (self.applied or self.denied):
            return None
        claimed = [one[0] for one in self.applied if one[5]]
        return json.dumps([self.applied, self.coupons, self.denied, claimed, NOON.isoformat()])

    @property
    def cells(self) -> dict[str, int]:
        """The change of every cell when the goods leave the books."""
        cells: dict[str, int] = {}
        for spu, quantity in self.lines.items():
            if spu in self.presale:
                cells |= {f"{spu}|+incoming": -quantity, f"{spu}|+owed": quantity}
            else:
                cells[f"{spu}|{self.sale}" if self.sale else spu] = -quantity
        return cells

    @property
    def total(self) -> int:
        return sum(quantity * price for _, quantity, price in self.pieces)

    @property
    def wanted(self) -> dict[str, int]:
        """The lines without what was dropped."""
        return {spu: quantity - dict(self.dropped).get(spu, 0) for spu, quantity in self.lines.items()}

    @property
    def worth(self) -> int:
        return sum(quantity * price for _, quantity, price in self.lots)

    @property
    def course(self) -> list[tuple[str, str]]:
        """The timeline: phases and messages."""
        aside = "short_at_once" if self.way == "short" else self.way or self.phase
        left, then = (self.phase, "") if aside in WAY else ASIDE[aside]
        phases = [*WAY[: WAY.index(left) + 1], *then.split()]
        course = [(phase, MOVED_BY.get(phase, "Moved")) for phase in phases]
        if self.dropped:
            after = phases.index("picking") + 1
            course[after:after] = [("short", "PiecesShort"), ("picking", "DropChosen")]
        return course

    @property
    def paid(self) -> bool:
        return self.phase in DEDUCTED or self.way in ("reversed", "sold_out", "not_reachable")

    @property
    def deducted(self) -> bool:
        return self.phase in DEDUCTED or self.way in ("reversed", "not_reachable")


TALES = (
    Tale("o-closed", "closed", {"apple": 2, "milk": 1}),
    Tale("o-delivered", "delivered", {"bread": 1}, mode="on_payment", slot=True),
    Tale("o-picking", "picking", {"apple": 1}),
    Tale("o-queued", "awaiting_picking", {"milk": 3}, slot=True),
    Tale("o-payable", "awaiting_payment", {"apple": 3, "bread": 2}),
    Tale("o-checked", "awaiting_payment", {"bread": 4}, mode="on_payment"),
    Tale("o-review", "in_review", {"milk": 1}, mode=None),
    Tale("o-expired", "cancelled", {"milk": 2}, way="released", slot=True),
    Tale("o-reversed", "cancelled", {"apple": 5}, way="reversed"),
    Tale("o-sold-out", "cancelled", {"bread": 9}, mode="on_payment", way="sold_out"),
    Tale("o-short", "rejected", {"bread": 99}, way="short"),
    Tale("o-refused", "rejected", {"apple": 1}, mode=None, way="refused"),
    Tale("o-stray", "closed", {"milk": 1}, stray=True),
    Tale("o-dropped", "closed", {"apple": 2, "milk": 2}, dropped=(("milk", 1),)),
    Tale("o-returned", "cancelled", {"apple": 1}, way="not_reachable"),
    Tale("o-calling", "short", {"apple": 1}),
    Tale("o-way-back", "returning", {"milk": 1}),
    # 303 less 10 percent, 1332 less one tea; of the rest 100 off, and a coupon.
    Tale(
        "o-priced",
        "closed",
        {"pear": 3, "tea": 4},
        dropped=(("tea", 1),),
        applied=(
            ("ten", 2, "percent", (30, 0), 1, 3),
            ("three", 1, "buy_n_pay_m", (0, 333), 1, 0),
            ("whole", 1, "amount_off", (21, 79), 1, 0),
            ("welcome", 1, "coupon", (11, 39), 1, 1),
        ),
        coupons=("welcome",),
    ),
    Tale(
        "o-gift",
        "closed",
        {"pear": 1, "tea": 1},
        applied=(
            ("ten", 2, "percent", (10, 0), 1, 3),
            ("five", 1, "percent", (0, 17), 1, 0),
            ("gift", 1, "coupon", (91, 316), 1, 1),
        ),
        coupons=("gift",),
    ),
    Tale(
        "o-again",
        "closed",
        {"pear": 2},
        applied=(("ten", 2, "percent", (20,), 1, 3),),
        coupons=("welcome",),
        denied=("welcome",),
    ),
    Tale("o-dawn", "closed", {"cake": 2}, "on_payment", applied=(("dawn", 1, "flash", (500,), 2, 3),), sale="dawn"),
    Tale("o-mango", "awaiting_picking", {"mango": 2, "milk": 1}, "on_payment", slot=True, presale=("mango",)),
)
ORDERS = len(TALES)
IN_FLIGHT = {
    "awaiting_payment": 2,
    "awaiting_picking": 2,
    "delivered": 1,
    "in_review": 1,
    "picking": 1,
    "returning": 1,
    "short": 1,
}

LINKS = {
    "order/0": {"inventory.commands/0": 20, "risk.commands/0": 13, "payment.commands/0": 9, "logistics.commands/0": 8,
                "aftersales.commands/0": 3, "order.events/0": 30, "risk.activity/0": 4},
    "inventory/0": {"inventory.events/0": 21},
    "risk/0": {"risk.events/0": 13},
    "payment/0": {"payment.events/0": 10},
    "logistics/0": {"logistics.events/0": 12},
    "aftersales/0": {"aftersales.events/0": 4},
}  # fmt: skip


@dataclass
class World:
    """The books, and what stands in them."""

    settings: Settings
    of: dict[str, asyncpg.Connection[asyncpg.Record]]
    _rows: dict[tuple[str, str], list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))
    _cells: dict[str, list[int]] = field(default_factory=dict)

    async def write(self) -> None:
        """Empties the books and writes the healthy world."""
        await self.empty()
        self._rows.clear()
        self._cells.clear()
        self._receive_goods()
        for tale in TALES:
            self._tell(tale)
        self._goods_arrive()
        self._write_catalogue()
        self._rows["inventory", "cells"] = [(STORE, spu, *cell) for spu, cell in self._cells.items()]
        self._rows["risk", "rule_sets"] = [(1, RULES, "put", "many_orders", "one is enough", NOON, "ra-1")]
        self._rows["logistics", "slots"] = [(STORE, SLOT, SLOT + timedelta(hours=1), 5, 3)]
        self._write_links()
        for (name, table), rows in self._rows.items():
            await self._insert(name, table, rows)

    async def empty(self) -> None:
        """Empties the books. Deleting few rows is quicker than truncating many tables; numbers begin again at 1."""
        for name, connection in self.of.items():
            tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
            names = [row["tablename"] for row in tables if row["tablename"] not in ("schema_version", "switch")]
            numbered = {"inventory": [("ledger", "seq")], "order": [("parked", "id")]}.get(name, [])
            statements = [f"delete from {table}" for table in sorted(names, reverse=True)]
            statements += [f"select setval(pg_get_serial_sequence('{t}', '{c}'), 1, false)" for t, c in numbered]
            await connection.execute("; ".join(statements))

    async def _insert(self, name: str, table: str, rows: list[tuple[Any, ...]]) -> None:
        names = COLUMNS.get(table, "").split(", ")[: len(rows[0])]
        columns = f"({', '.join(names)})" if table in COLUMNS else ""
        places = ", ".join(f"${n}" for n in range(1, len(rows[0]) + 1))
        await self.of[name].executemany(f"insert into {table} {columns} values ({places})", rows)

    async def break_(self, name: str, sql: str, *arguments: Any) -> None:
        """Does something to a book; it must hit at least one row."""
        done = await self.of[name].execute(sql, *arguments)
        assert not done.endswith(" 0"), f"{sql} touched nothing"

    async def add(self, name: str, table: str, *row: Any) -> None:
        """One more row."""
        await self._insert(name, table, [row])

    async def tell(self, tale: Tale, *, without: tuple[tuple[str, str], ...] = ()) -> None:
        """One more order in all books, except in some tables. It leaves cells and slots as they are."""
        self._rows.clear()
        self._tell(tale)
        for (name, table), rows in self._rows.items():
            if (name, table) not in without:
                await self._insert(name, table, rows)

    async def audit(self, wait_s: float = 0.0) -> Report:
        """The auditor's verdict on the books."""
        return await audit(self.settings, wait_s)

    # -- inventory -----------------------------------------------------------------------------------------------------

    def _receive_goods(self) -> None:
        self._document("GR-1", "goods_receipt", None, RECEIVED)
        self._move("goods_receipt", None, "GR-1", RECEIVED, 1, 0)
        self._move("allot", None, None, {"cake": -ALLOTTED, "cake|dawn": ALLOTTED}, 1, 0)
        self._move("expect", None, None, {"mango|+incoming": EXPECTED}, 1, 0)

    def _goods_arrive(self) -> None:
        """A piece that was sold before it came."""
        self._document("GR-2", "goods_receipt", None, {"mango": ARRIVED})
        self._move("goods_receipt", None, "GR-2", {"mango": ARRIVED}, 1, 0)
        self._move("arrive", None, None, {"mango": -ARRIVED, "mango|+owed": -ARRIVED}, 1, 0)

    def _write_catalogue(self) -> None:
        for id_, bodies in PROMOTIONS.items():
            newest = json.dumps(bodies[-1])
            row = (id_, len(bodies), bodies[-1]["kind"], newest, YESTERDAY, LATER, YESTERDAY)
            self._rows["order", "promotions"].append(row)
            for revision, body in enumerate(bodies, 1):
                self._revise(id_, revision, body, YESTERDAY + timedelta(hours=revision))
        for spu in PRICES:
            category = "hot" if spu == "tea" else "other"
            self._rows["order", "products"].append((spu, spu, PRICES[spu], category, YESTERDAY))
        about = ("rush-1", STORE, '["cake"]', YESTERDAY, LATER, YESTERDAY)
        self._rows["order", "rushes"].append(about)
        self._rows["inventory", "allotments"].append((STORE, "dawn", "open", "cake", ALLOTTED, 2, LATER))
        self._rows["inventory", "timers"].append((f"{STORE}/dawn", "sale_ends", 0, LATER))

    def _revise(self, id_: str, revision: int, body: dict[str, Any], at: datetime) -> None:
        times = {"starts_at": YESTERDAY.isoformat(), "ends_at": LATER.isoformat()}
        self._rows["order", "promotion_revisions"].append((id_, revision, json.dumps({**times, **body}), at))

    async def revise(self, id_: str, body: dict[str, Any], at: datetime = NOON - timedelta(hours=2)) -> None:
        """One more revision of a promotion, or a new one."""
        self._rows.clear()
        self._revise(id_, len(PROMOTIONS.get(id_, ())) + 1, body, at)
        await self._insert("order", "promotion_revisions", self._rows["order", "promotion_revisions"])

    def _document(
        self, number: str, kind: str, order_id: str | None, lines: dict[str, int], reverses: str | None = None
    ) -> None:
        row = (number, kind, STORE, order_id, NOON, json.dumps(list(lines)), json.dumps(list(lines.values())), reverses)
        self._rows["inventory", "documents"].append(row)

    def _move(
        self, kind: str, order_id: str | None, document: str | None, lines: dict[str, int], on_hand: int, locked: int
    ) -> None:
        for spu, quantity in lines.items():
            cell = self._cells.setdefault(spu, [0, 0])
            cell[0] += on_hand * quantity
            cell[1] += locked * quantity
        columns = [list(lines), [on_hand * q for q in lines.values()], [locked * q for q in lines.values()]]
        row = (STORE, NOON, kind, order_id, document, *map(json.dumps, columns))
        self._rows["inventory", "ledger"].append(row)

    def _tell_stock(self, t: Tale) -> None:
        if t.mode is None:
            return
        phase = {"released": "released", "reversed": "reversed", "sold_out": "short", "short": "short"}.get(t.way)
        phase = (
            "taken_back"
            if t.way == "not_reachable"
            else phase or ("deducted" if t.deducted else {"lock": "locked", "on_payment": "checked"}[t.mode])
        )
        lines = {} if t.way == "short" else t.lines
        document = f"IR-{t.order_id}" if t.way == "reversed" else f"SI-{t.order_id}" if t.deducted else ""
        columns = json.dumps(list(lines)), json.dumps(list(lines.values()))
        self._rows["inventory", "holds"].append((t.order_id, STORE, phase, t.mode, *columns, document))
        locks = t.mode == "lock" and t.way != "short"
        if locks:
            self._move("lock", t.order_id, None, t.lines, 0, 1)
        if t.way == "released":
            self._move("unlock", t.order_id, None, t.lines, 0, -1)
        if t.deducted:
            number = f"SI-{t.order_id}"
            self._document(number, "sales_issue", t.order_id, t.lines)
            if t.sale or t.presale:
                self._move("sales_issue", t.order_id, number, t.cells, 1, 0)
            else:
                self._move("sales_issue", t.order_id, number, t.lines, -1, -1 if locks else 0)
        if t.way == "reversed":
            self._document(f"IR-{t.order_id}", "issue_reversal", t.order_id, t.lines, f"SI-{t.order_id}")
            self._move("issue_reversal", t.order_id, f"IR-{t.order_id}", t.lines, 1, 0)
        for kind, number, sign in (("issue_reversal", f"IR-{t.order_id}", 1), ("adjustment", f"AD-{t.order_id}~1", -1)):
            if t.dropped:
                pieces = {spu: sign * quantity for spu, quantity in t.dropped}
                self._document(number, kind, t.order_id, pieces, f"SI-{t.order_id}" if sign == 1 else None)
                self._move(kind, t.order_id, number, pieces, 1, 0)
        if t.way == "not_reachable":
            self._document(f"RR-{t.order_id}", "return_receipt", t.order_id, t.lines, f"SI-{t.order_id}")
            self._move("return_receipt", t.order_id, f"RR-{t.order_id}", t.lines, 1, 0)

    # -- the others ----------------------------------------------------------------------------------------------------

    def _tell(self, t: Tale) -> None:
        self._tell_stock(t)
        self._tell_money(t)
        self._tell_store(t)
        self._tell_order(t)
        verdict = {None: "in_review", "lock": "cleared", "on_payment": "restricted"}[t.mode]
        verdict = "refused" if t.way == "refused" else "cleared" if t.sale or t.presale else verdict
        said, reason = SAID[verdict]
        saw = (NOON, t.total, None, None, said, *((40, 1, SPOKE) if reason == "rules_restricted" else (0, 1, None)))
        self._rows["risk", "screenings"].append((t.order_id, "a-1", verdict, reason, *saw))
        if verdict == "in_review":
            review = (t.order_id, "a-1", t.total, None, None, "device_referred", NOON, LATER, None, "", "", None)
            self._rows["risk", "reviews"].append(review)
            self._rows["risk", "timers"].append((t.order_id, "review", 0, LATER))
        if t.phase in ("delivered", "closed"):
            is_open = t.phase == "delivered"
            window = (t.order_id, "open" if is_open else "shut", "a-1", STORE, LATER if is_open else NOON, 0)
            self._rows["aftersales", "windows"].append((*window, json.dumps(t.lots)))
            if is_open:
                self._rows["aftersales", "timers"].append((t.order_id, "window", 0, LATER))

        if t.phase == "short":
            self._rows["aftersales", "windows"].append((t.order_id, "new", "", "", None, 1, "[]"))
        if t.phase == "short" or t.dropped:
            phase, note = ("open", "") if t.phase == "short" else ("resolved", "dropped")
            ticket = (f"t-{t.order_id}-1", t.order_id, phase, "shortage", "a-1", STORE, "[]", "[]", "short", note)
            about = ("store", None, "[]", "[]", 0, "[]", "", LATER)
            times = (NOON, "", None if phase == "open" else NOON)
            self._rows["aftersales", "tickets"].append((*ticket, *times, None, *about))
        if t.phase in ("delivered", "closed") or t.way:
            deed = DEEDS.get(t.way, "ended") if t.way else "delivered"
            self._rows["risk", "endings"].append((t.order_id, "a-1", "known", deed, NOON))

    def captures(self, t: Tale) -> list[tuple[str, int]]:
        """References and amounts of what was captured."""
        first = [(f"cap_{t.order_id}:1", t.total)] if t.paid and t.total else []
        return [*first, *([(f"cap2_{t.order_id}:1", t.total)] if t.stray else [])]

    def refunds(self, t: Tale) -> list[tuple[int, str, int]]:
        """Numbers, captures and amounts of what was refunded."""
        is_back = t.stray or t.way in ("reversed", "sold_out", "not_reachable")
        back = self.captures(t)[-1:] if is_back else [(f"cap_{t.order_id}:1", t.total - t.worth)] if t.dropped else []
        return [(number, *capture) for number, capture in enumerate(back, 1)]

    def _tell_money(self, t: Tale) -> None:
        captures, refunds = self.captures(t), self.refunds(t)
        if not (captures or t.paid):
            return
        back = {capture: amount for _, capture, amount in refunds}
        columns = [
            [reference, amount, NOON.isoformat(), back.get(reference, 0), f"{t.order_id}:1"]
            for reference, amount in captures
        ]
        attempts = [[1, t.total, "tok_ok", "taken", ""]]
        self._rows["payment", "payments"].append((t.order_id, "taken", json.dumps(attempts), json.dumps(columns)))
        if captures:
            intent = (f"{t.order_id}:1", t.order_id, t.total, "EUR", "tok_ok", None, NOON)
            self._rows["gateway", "intents"].append(intent)
        for reference, amount in captures:
            self._rows["payment", "journal"].append((t.order_id, reference, "captured", amount, NOON, "payment", None))
            self._rows["gateway", "captures"].append((reference, f"{t.order_id}:1", t.order_id, amount, "EUR", NOON))
        for number, capture, amount in refunds:
            key = f"{t.order_id}:refund-{number}"
            reason = "unasked_money" if t.stray else "short" if t.dropped else "why"
            self._rows["payment", "refunds"].append(
                (t.order_id, number, "refunded", amount, capture, reason, "store", f"ref_{key}", NOON, None)
            )
            self._rows["payment", "journal"].append(
                (t.order_id, f"ref_{key}", "refunded", amount, NOON, "why", "store")
            )
            self._rows["gateway", "refunds"].append(
                (key, f"ref_{key}", capture, t.order_id, amount, "EUR", "why", NOON)
            )

    def _tell_store(self, t: Tale) -> None:
        if t.slot:
            phase = "freed" if t.way else "reserved"
            self._rows["logistics", "reservations"].append((t.order_id, STORE, phase, SLOT, ""))
        if t.phase not in DEDUCTED and t.way != "not_reachable":
            return
        phase = "waiting_for_slot" if t.slot and t.phase == "awaiting_picking" else DEDUCTED.get(t.phase, "inspected")
        reached = "on_the_road" if phase in ("returning", "inspected") else "queued" if phase == "short" else phase
        done = STEPS.index(reached) + 1 if reached in STEPS else 0
        times = [NOON if number < done else None for number in range(len(STEPS))]
        over = NOON if phase == "inspected" else None
        self._rows["logistics", "fulfilments"].append((t.order_id, STORE, phase, NOON, *times, over))
        for entered in {"returning": ["returning"], "inspected": ["returning", "returned", "inspected"]}.get(phase, []):
            found = [list(t.lines), list(t.lines.values()), ["resellable"] * len(t.lines)]
            lines = found if entered == "inspected" else [[], [], []]
            self._rows["logistics", "steps_back"].append((t.order_id, NOON, entered, "", "", *map(json.dumps, lines)))
        if phase == "waiting_for_slot":
            self._rows["logistics", "timers"].append((t.order_id, "slot_begins", 0, SLOT))
        columns = json.dumps(list(t.wanted)), json.dumps(list(t.wanted.values()))
        self._rows["logistics", "pick_lists"].append((t.order_id, *columns, None))

    def _tell_order(self, t: Tale) -> None:
        paid = sum(amount for _, amount in self.captures(t))
        refunded = sum(amount for _, _, amount in self.refunds(t))
        mode = None if t.mode is None else t.mode
        ended = t.phase in ("closed", "cancelled", "rejected")
        changing = (
            t.total,
            mode,
            None,
            int(t.paid),
            "tok_ok",
            paid,
            refunded,
            len(self.refunds(t)),
            int(t.way in ("reversed", "sold_out", "not_reachable")),
            "",
            REASONS.get(t.way, t.way),
            t.total if t.paid and t.way else t.total - t.worth,
            int(bool(t.dropped) or t.phase == "short"),
            "",
            ended,
        )
        self._rows["order", "orders"].append((t.order_id, "sales", t.phase, NOON, "a-1", STORE, NOON, *changing))
        prices = json.dumps([PRICES[spu] for spu in t.lines])
        slot = json.dumps({"start": SLOT.isoformat(), "end": (SLOT + timedelta(hours=1)).isoformat()})
        lines = json.dumps(list(t.lines)), json.dumps(list(t.lines.values()))
        marketing = (t.discounts, json.dumps(t.presale) if t.presale else None)
        basket = (t.order_id, *lines, prices, None, slot if t.slot else None, None, *marketing)
        self._rows["order", "baskets"].append(basket)
        for promotion, _, _, _, units, limit in t.applied:
            if limit:
                self._rows["order", "claims"].append(("a-1", promotion, t.order_id, units))
        for phase, message in t.course:
            self._entry(t, phase, message)
        if t.stray:
            self._entry(t, t.phase, "MoneyUnasked")
            self._entry(t, t.phase, "PaymentRefunded")
        if t.phase == "awaiting_payment":
            self._rows["order", "timers"].append((t.order_id, "payment_window", 0, LATER))
        for waiting, timer in (("short", "shortage_window"), ("returning", "return_window")):
            if t.phase == waiting:
                self._rows["order", "timers"].append((t.order_id, timer, 0, LATER))
        if t.dropped:
            lots = [[*lot, "", 0] for lot in t.lots]
            self._rows["order", "amendments"].append((t.order_id, json.dumps(lots), None, None))
        if t.dropped or t.phase == "short":
            for phase in ("open", "resolved") if t.dropped else ("open",):
                self._paper(t, "ticket", {"ticket_id": f"t-{t.order_id}-1", "kind": "shortage", "phase": phase})
        for reference, amount in self.captures(t) or ([(f"{t.order_id}:1", 0)] if t.paid else []):
            self._paper(t, "payment", {"amount": amount, "reference": reference})
        for number, _, amount in self.refunds(t):
            reference = f"ref_{t.order_id}:refund-{number}"
            self._paper(t, "refund", {"amount": amount, "reason": "why", "liable": "store", "reference": reference})
        of_page = [{"spu": spu, "quantity": quantity} for spu, quantity in t.lines.items()]
        if t.deducted:
            self._paper(t, "document", {"number": f"SI-{t.order_id}", "kind": "sales_issue", "lines": of_page})
        if t.way == "reversed":
            self._paper(t, "document", {"number": f"IR-{t.order_id}", "kind": "issue_reversal", "lines": of_page})
        if t.way == "not_reachable":
            self._paper(t, "document", {"number": f"RR-{t.order_id}", "kind": "return_receipt", "lines": of_page})
        for kind, document, sign in (
            ("issue_reversal", f"IR-{t.order_id}", 1),
            ("adjustment", f"AD-{t.order_id}~1", -1),
        ):
            if t.dropped:
                page = [{"spu": spu, "quantity": sign * quantity} for spu, quantity in t.dropped]
                self._paper(t, "document", {"number": document, "kind": kind, "lines": page})
        answer = (f"c-{t.order_id}", 0, NOON, True, None, t.order_id, "", "")
        self._rows["order", "answers"].append(answer)

    def _entry(self, t: Tale, phase: str, message: str) -> None:
        self._rows["order", "timeline"].append((t.order_id, NOON, phase, message, "customer:a-1"))

    def _paper(self, t: Tale, kind: str, body: dict[str, Any]) -> None:
        self._rows["order", "papers"].append((t.order_id, kind, NOON, json.dumps(body)))

    def _write_links(self) -> None:
        received: dict[str, dict[str, int]] = defaultdict(dict)
        for source, links in LINKS.items():
            for link, number in links.items():
                topic = link.partition("/")[0]
                receiver = topic.partition(".")[0] if topic.endswith((".commands", ".activity")) else "order"
                if topic != "order.events":
                    received[receiver][f"{source} {topic}"] = number
                service = source.partition("/")[0]
                # What was sent long ago is swept; the rest is in two rows.
                self._rows[service, "outbox"].append((0, topic, 0, number // 2 + 1, number - 1, NOON, b""))
                self._rows[service, "outbox"].append((0, topic, 0, number, number, NOON, b""))
        for source, links in LINKS.items():
            service = source.partition("/")[0]
            counters: tuple[dict[str, int], ...] = ({}, received[service], links, links)
            self._rows[service, "progress"].append((0, 1, 9, "cluster", *map(json.dumps, counters)))


COLUMNS = {
    "documents": "number, kind, store, order_id, at, spus, quantities, reverses",
    "ledger": "store, at, kind, order_id, document, spus, on_hand, locked",
    "fulfilments": "order_id, store, phase, received_at, queued_at, picking_at, picked_at, packed_at, handed_over_at, "
    "delivered_at, called_off_at",
    "steps_back": "order_id, at, entered, reason, actor, spus, quantities, found",
    "timeline": "order_id, at, phase, message, actor",
    "papers": "order_id, kind, at, body",
    "parked": "shard, subject, topic, kafka_partition, kafka_offset, message_id, message_type, headers, code, reason, "
    "parked_at",
    "webhooks": "id, body, created_at, next_at",
}
"""Columns of tables that are not written whole, or whose first column numbers itself."""

__all__ = ["IN_FLIGHT", "NOON", "ORDERS", "STORE", "TALES", "Tale", "World", "replace"]
