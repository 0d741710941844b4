"""What the auditor gets to see: plain dicts under the names of tables and columns, phases and kinds as plain text.

The names are those of the schemas (`order.orders`, `inventory.ledger`, ...), so that rules here and over the real
databases can say the same; lines are lists instead of JSON. What only the simulation knows stands under `log.` and
`people.`.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import msgspec

from larder.simulation.clock import NOON
from larder.simulation.database import Database
from larder.simulation.owner import topics_of
from larder.simulation.world import World
from services.aftersales.state import Rating, TicketStep
from services.inventory.state import Document, Movement
from services.logistics.state import StepBack
from services.order.promotions import Promotion
from services.order.state import NO_DISCOUNTS, Amendment, Basket, ClaimKept, Paper, TimelineEntry
from services.payment.state import Contradiction, JournalEntry
from services.risk.state import Entered
from shared.contracts import inventory
from shared.contracts import order as ordering
from shared.contracts.base import Message
from shared.contracts.topics import ACTIVITY
from shared.runtime.envelope import Delivery
from shared.runtime.table import Key

Row = dict[str, Any]
Rows = dict[str, list[Row]]

TABLES = {
    "order": "order.orders",
    "hold": "inventory.holds",
    "issue": "inventory.issues",
    "screening": "risk.screenings",
    "ending": "risk.endings",
    "conduct": "risk.conducts",
    "age": "risk.ages",
    "payment": "payment.payments",
    "refund": "payment.refunds",
    "report": "payment.reports",
    "fulfilment": "logistics.fulfilments",
    "pick_list": "logistics.pick_lists",
    "reservation": "logistics.reservations",
    "slot": "logistics.slots",
    "window": "aftersales.windows",
    "ticket": "aftersales.tickets",
    "return": "logistics.returns",
    "cell": "inventory.cells",
    "allotment": "inventory.allotments",
    "request": "inventory.requests",
}
"""The table of each kind of aggregate. Of two kinds the rows are made of others: claims of what was written down of
them, and which allotment an SPU has of the allotments."""
RECORDS: dict[type, str] = {
    TimelineEntry: "order.timeline",
    Paper: "order.papers",
    Basket: "order.baskets",
    Amendment: "order.amendments",
    ClaimKept: "order.claims_kept",
    Movement: "inventory.ledger",
    Document: "inventory.documents",
    JournalEntry: "payment.journal",
    Contradiction: "payment.contradictions",
    StepBack: "logistics.steps_back",
    TicketStep: "aftersales.ticket_steps",
    Rating: "aftersales.ratings",
    Entered: "risk.entered",
}
"""The table of each kind of record."""


def rows_of(world: World) -> Rows:
    """Everything that is left of an evening."""
    rows: Rows = {name: [] for name in (*TABLES.values(), *RECORDS.values())}
    for service, database in world.databases.items():
        for key, state in database.states.items():
            if table := TABLES.get(key[0]):
                rows[table].append(_aggregate(key, state) | {"written_by": database.writers[key]})
        for kind, records in database.records.items():
            rows[RECORDS[kind]] += [_plain(record) for record in records]
        rows |= _runtime_rows(service, database)
    rows |= _marketing_rows(world)
    rows["risk.reviews"] = [row for row in rows["risk.screenings"] if row["review"]]
    rows["risk.rule_sets"] = [
        {"version": r.version, "rules": msgspec.json.encode({"rules": r.rules, "levels": r.levels}).decode()}
        for r in world.shop.rule_sets
    ]
    rows |= _gateway_rows(world)
    rows |= _log_rows(world)
    rows["people.sent"] = [
        {
            "id": sent.id,
            "type": sent.message.TYPE,
            "subject": sent.message.subject,
            "body": sent.message,
            "actor": sent.actor,
            "wants_word": sent.wants_word,
            "at": None if sent.at_us is None else NOON + timedelta(microseconds=sent.at_us),
        }
        for sent in world.desk.sent.values()
    ]
    # Of money for an order that never was, the gateway's word is as wrong as any lie.
    rows["people.untrue"] = [_plain(told) for told in (*world.liar.lies, *world.liar.nobodys)]
    told = sum((counter.told for counter in world.counters), Counter[str]())
    # A log that has lost its end may have kept something from whoever counts it.
    are_whole = not (told["lost"] or world.power_went)
    rows["people.signals"] = [{"are_whole": are_whole, "in_order": not told["late"]}]
    rows["people.prices"] = [{"at": at, "spu": spu, "price": price} for at, spu, price in world.shop.changes]
    rows["people.poison"] = [
        {"service": service, "topic": topic, "kafka_partition": partition, "kafka_offset": offset, "codes": codes}
        for (service, topic, partition, offset), codes in world.desk.expected_parked.items()
    ]
    return rows


def _aggregate(key: Key, state: Any) -> Row:
    if key[0] == "cell":
        return {"store": key[1], "spu": key[2], "on_hand": state.on_hand, "locked": state.locked}
    row = _plain(state)
    if key[0] == "order" and state.discounts is NO_DISCOUNTS:
        row["discounts"] = None
    return row


def _marketing_rows(world: World) -> Rows:
    shop, writers = world.shop, world.databases["order"].writers
    newest = {id_: (at, promotion) for at, promotion in shop.revisions for id_ in (promotion.id,)}
    return {
        "order.products": [{"spu": spu, "category": shop.categories.get(spu, "other")} for spu in shop.prices],
        "order.promotions": [_promotion(at, promotion) for at, promotion in newest.values()],
        "order.promotion_revisions": [_promotion(at, promotion) for at, promotion in shop.revisions],
        "order.claims": [
            {"account": account, "promotion": promotion, "order_id": order_id, "units": units}
            | {"written_by": writers.get(("claims", account, promotion), set())}
            for (account, promotion), claims in shop.claims.items()
            for order_id, units in claims.items()
        ],
        "people.rushes": [{"at": at, "rushes": rushes} for at, rushes in shop.rush_changes],
        "people.pauses": [{"at": at, "store": store, "until": until} for at, store, until in shop.pauses],
        "people.to_come": [{"spu": spu, "available_from": day} for spu, day in shop.available_from.items()],
    }


def _promotion(at: datetime, promotion: Promotion) -> Row:
    """As it is kept: its body is the JSON of its fields."""
    kept = _plain(promotion)
    id_, revision = kept.pop("id"), kept.pop("revision")
    body = msgspec.json.encode(kept, order="deterministic").decode()
    about: Row = {"kind": promotion.kind.value, "starts_at": promotion.starts_at, "ends_at": promotion.ends_at}
    about["per_account"] = promotion.per_account
    return {"id": id_, "revision": revision, "at": at, "body": body, **about}


_FIELDS: dict[type, list[str]] = {}


def _plain(thing: Any) -> Row:
    """A struct as a row; what it holds stays as it is."""
    names = _FIELDS.get(type(thing))
    if names is None:
        names = _FIELDS[type(thing)] = list(type(thing).__struct_fields__)
    return {name: getattr(thing, name) for name in names}


def _runtime_rows(service: str, database: Database) -> Rows:
    return {
        f"{service}.progress": [
            _plain(progress) | {"topics": topics_of(database)} for progress in database.progress.values()
        ],
        f"{service}.outbox": [
            {
                "shard": shard,
                "topic": row.topic,
                "kafka_partition": row.partition,
                "first_link": row.first_link,
                "last_link": row.last_link,
                "records": len(row.payloads),
            }
            for (shard, _), some in database.outbox.items()
            for row in some
        ],
        f"{service}.timers": [
            {"subject": subject, "name": name, "shard": shard, "due_at": due}
            for (subject, name), (shard, due) in database.timers.items()
        ],
        f"{service}.effects": [
            {"id": effect.id, "shard": shard, "kind": effect.kind} for shard, effect in database.effects.values()
        ],
        f"{service}.answers": [_plain(answer) | {"at": at} for answer, at in database.answers.values()],
        f"{service}.parked": [
            {
                "id": row.id,
                "subject": row.subject,
                "topic": row.delivery.topic,
                "kafka_partition": row.delivery.partition,
                "kafka_offset": row.delivery.offset,
                "message_type": row.delivery.type,
                "code": row.code,
                "reason": row.reason,
                "state": row.state,
            }
            for row in database.parked
        ],
    }


def _gateway_rows(world: World) -> Rows:
    book = world.gateway.book
    captures = [_plain(capture) for capture in book.captures.values()]
    refunds = [
        {
            "key": refund.refund.key,
            "capture": refund.refund.capture,
            "amount": refund.refund.amount,
            "reference": refund.reference,
            "order_id": refund.order_id,
        }
        for refund in book.refunds.values()
    ]
    refused = [{"key": r.refund.key, "capture": r.refund.capture, "code": r.code} for r in book.refused.values()]
    return {
        "gateway.captures": captures,
        "gateway.refunds": refunds,
        "gateway.refused_refunds": refused,
        "gateway.pending_captures": [_plain(pending) for pending in book.pending.values()],
    }


def _log_rows(world: World) -> Rows:
    places = world.log.records.items()

    def by_type(*contracts: type[Message]) -> list[Delivery]:
        """What shards have said, repeats too."""
        types = {contract.TYPE for contract in contracts}
        return [d for _, records in places for d in records if d.type in types and d.link]

    return {
        "log.partitions": [
            {
                "topic": topic,
                "kafka_partition": partition,
                "end": len(records),
                "links": [(d.source, d.link, d.id) for d in records if d.link],
            }
            for (topic, partition), records in places
        ],
        "log.answers": [
            {"id": d.id, "accepted": d.type == "CommandAccepted", "body": d.value}
            for _, records in places
            for d in records
            if d.type in ("CommandAccepted", "CommandRefused")
        ],
        "log.claims": [{"id": d.id, **msgspec.json.decode(d.value or b"")} for d in by_type(ordering.SettleClaim)],
        "log.on_sale": [
            {"order_id": d.subject, **body["on_sale"]}
            for d in by_type(inventory.HoldStock, inventory.VerifyStock)
            if (body := msgspec.json.decode(d.value or b"")).get("on_sale")
        ],
        "log.gone": [
            {"order_id": d.subject, "at": datetime.fromisoformat(dict(d.headers)["ce_time"].decode())}
            | {"type": d.type, "gone": body.get("gone") or (), "missing": body.get("spus") or ()}
            for d in by_type(inventory.StockHeld, inventory.StockVerified, inventory.StockSoldOut)
            if (body := msgspec.json.decode(d.value or b"")).get("gone") or d.type == inventory.StockSoldOut.TYPE
        ],
        "log.activity": [
            entry | {"type": type_}
            for type_, body in {
                d.id: (d.type, d.value)
                for (topic, _), records in places
                if topic == ACTIVITY
                for d in records
                if d.link
            }.values()
            for entry in msgspec.json.decode(body or b"")["entries"]
        ],
        "log.parked": [
            {"id": d.id, "service": topic.split(".")[0], "body": d.value}
            for (topic, _), records in places
            if topic.endswith(".parked")
            for d in records
        ],
    }
