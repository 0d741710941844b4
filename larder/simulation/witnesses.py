"""What only the simulation can know: what people sent, what stands in the log, what was planted, who lied.

Rules about these stand here, beside those of `larder.audit`, which judge the books alone. Plain rows only.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from larder.audit.life import summed as lines
from larder.audit.report import Report
from larder.simulation import bargains
from larder.simulation.books import place_of
from larder.simulation.clock import NOON
from larder.simulation.rows import Rows
from shared.contracts import risk
from shared.contracts.texts import normal_form
from shared.contracts.topics import SERVICES
from shared.runtime.decider import Windows

CLAIM = timedelta(seconds=Windows().claim_s)
"""How long a review is somebody's."""
COUNTED = {
    "delivered": "deliveries",
    "cancelled": "cancels",
    "cancelled_after_payment": "cancels_after_payment",
    "expired": "expiries",
    "unreachable": "unreachables",
    "declined": "declines",
    "rated_low": "low_ratings",
}
"""Deeds that signals count."""
SEEN_AS = {"account": "orders", "device": "device_orders", "address": "address_orders"}
"""And orders, of whom they are told to."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Broken = tuple[str, str, str]
"""A rule, what it is about (mostly an order), and what was found."""


def hear_witnesses(rows: Rows, report: Report) -> None:
    """Holds the rows against all rules that take a witness."""
    for rule in (
        log,
        answers,
        parked,
        parked_is_told,
        placed_as_asked,
        priced_as_told,
        paid_in_time,
        lies_are_kept,
        orders_are_seen_once,
        conducts_are_counted,
        review_claims_are_kept,
        blocks_are_entered,
        *bargains.WITNESSES,
    ):
        for name, subject, found in rule(rows):
            report.add(name, (subject,), found)


def log(rows: Rows) -> Iterator[Broken]:
    """The log has every number of every link, one id per number; every reader has read to the end."""
    ends: dict[tuple[str, int], int] = {}
    for row in rows["log.partitions"]:
        place = (row["topic"], row["kafka_partition"])
        ends[place] = row["end"]
        numbers: dict[str, dict[int, str]] = defaultdict(dict)
        for source, link, id_ in row["links"]:
            if numbers[source].setdefault(link, id_) != id_:
                yield ("link_numbers", f"{source} -> {place}", f"{link} is {numbers[source][link]} and {id_}")
        for source, known in numbers.items():
            if max(known) != len(known):
                missing = sorted(set(range(1, max(known))) - known.keys())
                yield ("link_without_gap", f"{source} -> {place}", f"missing {missing[:10]}")
    for service in SERVICES:
        for progress in rows[f"{service}.progress"]:
            for topic in progress["topics"]:
                end, read = ends[topic, progress["shard"]], progress["offsets"].get(topic, 0)
                if read != end:
                    yield ("log_is_read", f"{service}/{progress['shard']}", f"read {read} of {end} of {topic}")


def answers(rows: Rows) -> Iterator[Broken]:
    """Every person's command was answered exactly once, in the table; also as an event, which says the same, where it
    was refused or its sender wants word."""
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
        told_as_event = [accepted for accepted in in_table if sent["wants_word"] or not accepted]
        if len(in_table) != 1 or as_event != told_as_event:
            what = f"{sent['type']} about {sent['subject']}: answers {in_table}, events {as_event} (accepted?)"
            yield ("answers_are_told", id_, what)
    for id_ in found.keys() | told.keys():
        if not id_.startswith("poison"):
            yield ("answers_are_told", id_, "an answer to a command that nobody sent")


def _parked_ids(rows: Rows) -> set[str]:
    """Commands whose answer is that they are parked: the one answer that is no event."""
    return {a["id"] for service in SERVICES for a in rows[f"{service}.answers"] if a["code"] == "parked"}


def parked(rows: Rows) -> Iterator[Broken]:
    """What was planted is parked, each once and for its reason."""
    planted = {place_of(row["service"], row): row["codes"] for row in rows["people.poison"]}
    seen: Counter[Any] = Counter()
    for service in SERVICES:
        for row in rows[f"{service}.parked"]:
            place = place_of(service, row)
            if place in planted:
                seen[place] += 1
                if row["code"] not in planted[place]:
                    what = f"{row['code']}: {row['reason']}"
                    yield ("parked_with_reason", f"{service}: {row['subject']}", what)
    for place, codes in planted.items():
        if seen[place] != 1 and not (seen[place] == 0 and "ignored" in codes):
            yield ("poison_parks_once", "/".join(map(str, place)), f"{codes}: parked {seen[place]} times")


def parked_is_told(rows: Rows) -> Iterator[Broken]:
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
            kept[*place_of(service, row), row["subject"], row["code"]] += 1
    for what in sorted(told.keys() | kept.keys()):
        if told[what] != kept[what]:
            yield ("parked_is_told", str(what[4]), f"{what}: parked {kept[what]} times, told {told[what]}")


def placed_as_asked(rows: Rows) -> Iterator[Broken]:
    """An order is what the first accepted basket of its id asked for; an id makes one order."""
    accepted = {a["id"] for a in rows["order.answers"] if a["accepted"]}
    orders = {order["order_id"]: order for order in rows["order.orders"]}
    placed: Counter[str] = Counter()
    for sent in rows["people.sent"]:
        if sent["type"] == "PlaceOrder" and sent["id"] in accepted:
            order, body = orders.get(sent["subject"]), sent["body"]
            placed[sent["subject"]] += 1
            asked = lines(body.spus, body.quantities)
            if order is None or lines(order["spus"], order["quantities"]) != asked or order["account"] != body.account:
                yield ("placed_as_asked", sent["subject"], f"asked {asked}, order {order}")
    for order_id in orders:
        if placed[order_id] != ("~" not in order_id):  # nobody places a replacement order
            yield ("placed_as_asked", order_id, f"{placed[order_id]} accepted baskets")


def priced_as_told(rows: Rows) -> Iterator[Broken]:
    """A price that was changed is what the next basket is priced at, not what a worker remembers."""
    orders = {order["order_id"]: order for order in rows["order.orders"]}
    first = {basket["order_id"]: basket for basket in reversed(rows["order.baskets"])}
    for order_id, basket in first.items():
        placed_at = orders[order_id]["placed_at"]
        told = {change["spu"]: change["price"] for change in rows["people.prices"] if change["at"] <= placed_at}
        expected = [told[spu] for spu in basket["spus"]]
        if list(basket["prices"]) != expected:
            found = f"{list(basket['prices'])} at {placed_at}, when it was {expected}"
            yield ("priced_as_told", order_id, found)


def paid_in_time(rows: Rows) -> Iterator[Broken]:
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
            yield ("paid_in_time", order_id, found)


def lies_are_kept(rows: Rows) -> Iterator[Broken]:
    """Every lie is kept for a person, once for each reason, and so is money for an order that never was; the truth is
    none of them."""
    kept = Counter(
        ((c["order_id"], c["reference"], c["told"]["attempt_key"], c["told"]["amount"], c["told"]["at"]), c["why"])
        for c in rows["payment.contradictions"]
    )
    told = {(r["order_id"], r["reference"], r["key"], r["amount"], r["at"]) for r in rows["people.untrue"]}
    for one in sorted({one for one, _ in kept} ^ told):
        yield ("lies_are_kept", one[0], f"{one}: {'not kept' if one in told else 'kept, and it is true'}")
    for (one, why), times in kept.items():
        if times > 1:
            yield ("lies_are_kept", one[0], f"{one}: kept {times} times as {why}")


def orders_are_seen_once(rows: Rows) -> Iterator[Broken]:
    """Each order that was screened is told once to its account, and to its device and its address where it has one."""
    told: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for entry in rows["log.activity"]:
        if entry["type"] == "OrdersSeen":
            told[entry["order_id"]].append((entry["about"], entry["subject"]))
    for screening in rows["risk.screenings"]:
        facts = screening["seen"].facts
        by = (("account", screening["account"]), ("address", facts.address), ("device", facts.device))
        expected = [(about, subject) for about, subject in by if subject]
        if sorted(told.pop(screening["order_id"], [])) != expected:
            yield ("orders_are_seen_once", screening["order_id"], f"to be told to {expected}")
    for order_id, some in told.items():
        yield ("orders_are_seen_once", order_id, f"never screened, and told to {some}")


def conducts_are_counted(rows: Rows) -> Iterator[Broken]:
    """Where nothing of what was counted is lost, risk knows of everybody what the log says: the newest that they did,
    however late some of it was told, and where nothing was, how often they did what."""
    weather = rows["people.signals"][0]
    if not weather["are_whole"]:
        return
    counted: dict[tuple[str, str], dict[str, set[Any]]] = defaultdict(lambda: defaultdict(set))
    newest: dict[tuple[str, str], int] = defaultdict(int)
    for e in rows["log.activity"]:
        is_order = e["type"] == "OrdersSeen"
        who: tuple[str, str] = (e["about"], e["subject"]) if is_order else ("account", e["account"])
        at = _milliseconds(e["at"])
        signal = SEEN_AS[who[0]] if is_order else COUNTED.get(e["deed"])
        if signal is None:
            continue
        newest[who] = max(at, newest[who])
        counted[who][signal].add((at, e["order_id"]))
        if is_order and who[0] != "account":
            counted[who][f"{who[0]}_accounts"].add(e["account"])
    known = {(c["about"], c["subject"]): c for c in rows["risk.conducts"]}
    for who in sorted(newest.keys() | known.keys()):
        known_at, counts = (known[who]["at"], known[who]["counts"]) if who in known else (0, {})
        expected = {signal: min(len(some), risk.HAPPENINGS_MAX) for signal, some in counted[who].items()}
        told = {signal: len(some) for signal, some in counts.items()}
        if known_at != newest[who] or (weather["in_order"] and told != expected):
            found = f"{who[0]}: until {newest[who]} {expected}, known until {known_at} {told}"
            yield ("conducts_are_counted", who[1], found)


def _milliseconds(moment: str) -> int:
    return (datetime.fromisoformat(moment) - EPOCH) // timedelta(milliseconds=1)


def review_claims_are_kept(rows: Rows) -> Iterator[Broken]:
    """Nobody does anything to a review that is somebody else's, and only of such a one is anybody told so."""
    sent = {s["id"]: s for s in rows["people.sent"] if s["type"] in ("ClaimReview", "ReleaseReview", "DecideReview")}
    claims: dict[str, tuple[str, datetime]] = {}
    for answer in rows["risk.answers"]:  # in the order in which they were given
        if (command := sent.get(answer["id"])) is None:
            continue
        order_id, actor = command["subject"], command["actor"]
        holder, until = claims.get(order_id, ("", NOON))
        is_anothers = holder != actor and answer["at"] < until
        if (is_anothers and answer["accepted"]) or (not is_anothers and answer["code"] == "review_claimed"):
            what = f"{command['type']} of {actor}: {answer['code'] or 'done'}"
            yield ("review_claims_are_kept", order_id, f"{what}, and it was {holder or 'nobody'}'s until {until}")
        if answer["accepted"]:
            claims[order_id] = (actor, answer["at"] + CLAIM if command["type"] == "ClaimReview" else NOON)


def blocks_are_entered(rows: Rows) -> Iterator[Broken]:
    """What a decided review puts on the blocklist is put there, once, and nothing else is."""
    decided = {answer["id"] for answer in rows["risk.answers"] if answer["accepted"]}
    screenings = {s["order_id"]: s for s in rows["risk.screenings"]}
    expected = Counter[Any]()
    for sent in rows["people.sent"]:
        if sent["type"] == "DecideReview" and sent["id"] in decided:
            screening, asked = screenings[sent["subject"]], sent["body"]
            values = {about: getattr(screening["review"], about) for about in ("device", "address")}
            for about in asked.block:
                if value := {**values, "account": screening["account"]}[about]:
                    expected[about, normal_form(value), asked.treatment, asked.until, sent["actor"]] += 1
    entered = Counter((e["kind"], e["value"], e["treatment"], e["until"], e["by"]) for e in rows["risk.entered"])
    for entry in expected.keys() | entered.keys():
        if expected[entry] != entered[entry]:
            yield ("blocks_are_entered", entry[1], f"{entry}: asked {expected[entry]} times, entered {entered[entry]}")
