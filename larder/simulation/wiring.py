"""The auditor of the wiring: links, offsets, timers, effects, answers and what is parked. Plain rows only.

At rest, everything that was said was heard once, nothing is left to do, and every person has an answer.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from aiokafka.partitioner import DefaultPartitioner

from larder.simulation.auditor import Row, Rows, Violation, lines

SERVICES = ("order", "inventory", "risk", "payment", "logistics", "aftersales")
OWNED = {
    "order.orders": "order_id",
    "inventory.cells": "store",
    "inventory.holds": "store",
    "risk.screenings": "account",
    "risk.cancels": "account",
    "payment.payments": "order_id",
    "payment.refunds": "order_id",
    "logistics.fulfilments": "store",
    "logistics.reservations": "store",
    "logistics.slots": "store",
    "aftersales.windows": "order_id",
    "aftersales.tickets": "order_id",
}
"""Whose things are kept in a table: what the commands of its service are keyed by (DESIGN §2)."""


def audit_wiring(rows: Rows) -> list[Violation]:
    """All rules about what runs between and beneath the services."""
    return [
        violation
        for rule in (
            links,
            outboxes,
            log,
            leftovers,
            answers,
            owners,
            parked,
            parked_is_told,
            placed_as_asked,
            priced_as_told,
            never_early,
            paid_in_time,
        )
        for violation in rule(rows)
    ]


def links(rows: Rows) -> Iterator[Violation]:
    """On every link, all that was sent was acknowledged and received by whoever reads the topic."""
    sent: dict[tuple[str, str, int], int] = {}
    for service in SERVICES:
        for progress in rows[f"{service}.progress"]:
            source = f"{service}/{progress['shard']}"
            for name, last in progress["sent"].items():
                topic, partition = name.rsplit("/", 1)
                sent[source, topic, int(partition)] = last
    for service in SERVICES:
        for progress in rows[f"{service}.progress"]:
            shard = progress["shard"]
            received = dict(progress["received"])
            for (source, topic, partition), last in sorted(sent.items()):
                if topic in progress["topics"] and partition == shard:
                    got = received.pop(f"{source} {topic}", 0)
                    if got != last:
                        link = f"{source} -> {topic}/{partition}"
                        yield Violation("link_received", link, f"sent {last}, received {got}")
            for unknown, last in received.items():
                yield Violation("link_received", f"{unknown}/{shard}", f"{service} received {last} that nobody sent")


def outboxes(rows: Rows) -> Iterator[Violation]:
    """The outbox holds every number of every link once, in order."""
    for service in SERVICES:
        ends: dict[tuple[int, str], int] = defaultdict(int)
        for row in rows[f"{service}.outbox"]:
            name = f"{row['topic']}/{row['kafka_partition']}"
            last, count = ends[row["shard"], name], row["last_link"] - row["first_link"] + 1
            if row["first_link"] != last + 1 or count != len(row["records"]):
                found = f"{row['first_link']} to {row['last_link']} ({len(row['records'])} records) after {last}"
                yield Violation("outbox_without_gap", f"{service}/{row['shard']} -> {name}", found)
            ends[row["shard"], name] = row["last_link"]
        for progress in rows[f"{service}.progress"]:
            for name, last in progress["sent"].items():
                if ends[progress["shard"], name] != last:
                    found = f"progress says {last}, outbox {ends[progress['shard'], name]}"
                    yield Violation("outbox_without_gap", f"{service}/{progress['shard']} -> {name}", found)


def log(rows: Rows) -> Iterator[Violation]:
    """The log has every number of every link, one id per number; every reader has read to the end."""
    ends: dict[tuple[str, int], int] = {}
    for row in rows["log.partitions"]:
        place = (row["topic"], row["kafka_partition"])
        ends[place] = row["end"]
        numbers: dict[str, dict[int, str]] = defaultdict(dict)
        for source, link, id_ in row["links"]:
            if numbers[source].setdefault(link, id_) != id_:
                yield Violation("link_numbers", f"{source} -> {place}", f"{link} is {numbers[source][link]} and {id_}")
        for source, known in numbers.items():
            if max(known) != len(known):
                missing = sorted(set(range(1, max(known))) - known.keys())
                yield Violation("link_without_gap", f"{source} -> {place}", f"missing {missing[:10]}")
    for service in SERVICES:
        for progress in rows[f"{service}.progress"]:
            for topic in progress["topics"]:
                end, read = ends[topic, progress["shard"]], progress["offsets"].get(topic, 0)
                if read != end:
                    yield Violation("log_is_read", f"{service}/{progress['shard']}", f"read {read} of {end} of {topic}")


def leftovers(rows: Rows) -> Iterator[Violation]:
    """No timer and no effect is left behind."""
    for service in SERVICES:
        for timer in rows[f"{service}.timers"]:
            yield Violation("no_timer_left", timer["subject"], f"{service}'s {timer['name']} due {timer['due_at']}")
        for effect in rows[f"{service}.effects"]:
            yield Violation("no_effect_left", effect["id"], f"{service}'s {effect['kind']} is open")


def answers(rows: Rows) -> Iterator[Violation]:
    """Every person's command was answered exactly once, in the table and as an event, and both say the same."""
    found: dict[str, list[bool]] = defaultdict(list)
    for service in SERVICES:
        for answer in rows[f"{service}.answers"]:
            found[answer["id"]].append(answer["accepted"])
    told: dict[str, dict[str, bool]] = defaultdict(dict)
    bodies = {record["id"]: record for record in rows["log.answers"]}  # repeats in the log have the same id
    for record in bodies.values():
        told[json.loads(record["body"])["command_id"]][record["id"]] = record["accepted"]
    parked = _parked_ids(rows)
    for sent in rows["people.sent"]:
        id_ = sent["id"]
        in_table, as_event = found.pop(id_, []), list(told.pop(id_, {}).values())
        if id_ in parked:
            continue
        if len(in_table) != 1 or as_event != in_table:
            what = f"{sent['type']} about {sent['subject']}: answers {in_table}, events {as_event} (accepted?)"
            yield Violation("answered_once", id_, what)
    for id_ in found.keys() | told.keys():
        if not id_.startswith("poison"):
            yield Violation("answered_once", id_, "an answer to a command that nobody sent")


def owners(rows: Rows) -> Iterator[Violation]:
    """What belongs to a store, an account or an order is written by the one shard that Kafka's own partitioner gives
    its key to."""
    shards = sorted(progress["shard"] for progress in rows["order.progress"])
    partition_of = DefaultPartitioner()
    for table, owner in OWNED.items():
        for row in rows[table]:
            own = partition_of(row[owner].encode(), shards, shards)
            if row["written_by"] != {own}:
                found = f"a row of {table} of shard {own} was written by {sorted(row['written_by'])}"
                yield Violation("written_by_its_shard", row[owner], found)


def _parked_ids(rows: Rows) -> set[str]:
    """Commands whose answer is that they are parked: the one answer that is no event."""
    return {a["id"] for service in SERVICES for a in rows[f"{service}.answers"] if a["code"] == "parked"}


def parked(rows: Rows) -> Iterator[Violation]:
    """Exactly what was planted is parked, each once and for its reason; all else that was parked was looked after."""
    planted = {_place(row["service"], row): row["codes"] for row in rows["people.poison"]}
    seen: Counter[Any] = Counter()
    for service in SERVICES:
        for row in rows[f"{service}.parked"]:
            place = _place(service, row)
            if place in planted:
                seen[place] += 1
                if row["code"] not in planted[place]:
                    what = f"{row['code']}: {row['reason']}"
                    yield Violation("parked_with_reason", f"{service}: {row['subject']}", what)
            elif row["state"] == "parked":
                found = f"{row['message_type']} from {row['topic']}: {row['code']}: {row['reason']}"
                yield Violation("nothing_parked_unseen", f"{service}: {row['subject']}", found)
    for place, codes in planted.items():
        if seen[place] != 1 and not (seen[place] == 0 and "ignored" in codes):
            yield Violation("poison_parks_once", "/".join(map(str, place)), f"{codes}: parked {seen[place]} times")


def parked_is_told(rows: Rows) -> Iterator[Violation]:
    """Whatever was parked was told once on the service's parked topic, with where it came from and why."""
    told: Counter[Any] = Counter()
    for id_, record in {record["id"]: record for record in rows["log.parked"]}.items():
        body = json.loads(record["body"])
        if id_:
            place = (record["service"], body["topic"], body["partition"], body["offset"])
            told[*place, body["subject_id"], body["code"]] += 1
    kept: Counter[Any] = Counter()
    for service in SERVICES:
        for row in rows[f"{service}.parked"]:
            kept[*_place(service, row), row["subject"], row["code"]] += 1
    for what in sorted(told.keys() | kept.keys()):
        if told[what] != kept[what]:
            yield Violation("parked_is_told", str(what[4]), f"{what}: parked {kept[what]} times, told {told[what]}")


def _place(service: str, row: Row) -> tuple[str, str, int, int]:
    return (service, row["topic"], row["kafka_partition"], row["kafka_offset"])


def placed_as_asked(rows: Rows) -> Iterator[Violation]:
    """An order is what the first accepted basket of its id asked for; an id makes one order."""
    accepted = {a["id"] for a in rows["order.answers"] if a["accepted"]}
    orders = {order["order_id"]: order for order in rows["order.orders"]}
    placed: Counter[str] = Counter()
    for sent in rows["people.sent"]:
        if sent["type"] == "PlaceOrder" and sent["id"] in accepted:
            order, body = orders.get(sent["subject"]), sent["body"]
            placed[sent["subject"]] += 1
            asked = lines({"spus": body.spus, "quantities": body.quantities})
            if order is None or lines(order) != asked or order["account"] != body.account:
                yield Violation("placed_as_asked", sent["subject"], f"asked {asked}, order {order}")
    for order_id in orders:
        if placed[order_id] != 1:
            yield Violation("placed_as_asked", order_id, f"{placed[order_id]} accepted baskets")


def priced_as_told(rows: Rows) -> Iterator[Violation]:
    """A price that was changed is what the next basket is priced at, not what a worker remembers."""
    orders = {order["order_id"]: order for order in rows["order.orders"]}
    first = {basket["order_id"]: basket for basket in reversed(rows["order.baskets"])}
    for order_id, basket in first.items():
        placed_at = orders[order_id]["placed_at"]
        told = {change["spu"]: change["price"] for change in rows["people.prices"] if change["at"] <= placed_at}
        expected = [told[spu] for spu in basket["spus"]]
        if list(basket["prices"]) != expected:
            found = f"{list(basket['prices'])} at {placed_at}, when it was {expected}"
            yield Violation("priced_as_told", order_id, found)


def never_early(rows: Rows) -> Iterator[Violation]:
    """No time runs out before it is over: not the customer's to pay, not the analyst's to decide."""
    orders = {order["order_id"]: order for order in rows["order.orders"]}
    for entry in rows["order.timeline"]:
        until = orders[entry["order_id"]]["payable_until"] if entry["message"] == "PaymentExpired" else None
        if until and entry["at"] < until:
            yield Violation("never_early", entry["order_id"], f"expired at {entry['at']}, payable until {until}")
    for screening in rows["risk.reviews"]:
        review = screening["review"]
        if review.verdict == "restrict" and not review.decided_by and review.decided_at < review.due_at:
            yield Violation("never_early", screening["order_id"], f"overdue before {review.due_at}")


def paid_in_time(rows: Rows) -> Iterator[Violation]:
    """A click that was in the log before the window's end is not told, after an expiry, that it came too late."""
    orders = {order["order_id"]: order for order in rows["order.orders"]}
    expired_at = {e["order_id"]: e["at"] for e in rows["order.timeline"] if e["message"] == "PaymentExpired"}
    refused = {a["id"]: a["at"] for a in rows["order.answers"] if a["code"] == "order_not_payable"}
    for sent in rows["people.sent"]:
        order_id = sent["subject"]
        if sent["type"] != "PayOrder" or sent["id"] not in refused or order_id not in expired_at:
            continue
        until = orders[order_id]["payable_until"]
        if sent["at"] <= until and refused[sent["id"]] > expired_at[order_id]:
            found = f"clicked at {sent['at']}, payable until {until}, expired first at {expired_at[order_id]}"
            yield Violation("paid_in_time", order_id, found)
