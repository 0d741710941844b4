"""After the delivery: refunds, returns, exchanges, replenishment, ratings, and orders that close last of all."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.system.driver import good, refused, until
from tests.system.shop import APPLE, MILK, Shop, lines

AGENT = "customer_service"
BASKET = {"apple": 3, "milk": 1}


async def delivered(shop: Shop) -> str:
    """Three apples and a milk at the customer's door; the id of their order."""
    order = await shop.paid({shop.apple: 3, shop.milk: 1})
    await shop.deliver(order["order_id"])
    return str(order["order_id"])


async def opened(shop: Shop, order_id: str, kind: str, wanted: dict[str, int], **more: Any) -> httpx.Response:
    """Customer service opens a ticket, however it goes."""
    body = {"order_id": order_id, "kind": kind, "lines": lines(wanted), "reason": "bruised", **more}
    return await shop.stack.post("aftersales", "/tickets", body, by=more.pop("by", AGENT))


async def decided(
    shop: Shop, ticket: dict[str, Any], verb: str, body: object = None, by: str = AGENT
) -> httpx.Response:
    """Somebody decides, however it goes."""
    return await shop.stack.post("aftersales", f"/tickets/{ticket['ticket_id']}/{verb}", body or {}, by=by)


async def asked(shop: Shop, kind: str, wanted: dict[str, int], **more: Any) -> tuple[str, dict[str, Any]]:
    """A delivered order, and a ticket about it that waits for a person."""
    order_id = await delivered(shop)
    ticket = good(await opened(shop, order_id, kind, wanted, **more))
    return order_id, await ticket_is(shop, ticket, "open")


async def ticket_is(shop: Shop, ticket: dict[str, Any], phase: str, note: str | None = None) -> dict[str, Any]:
    """The ticket, once it is in this phase, with this note."""
    seen: dict[str, Any] = {}

    async def there() -> dict[str, Any] | None:
        nonlocal seen
        seen = await shop.stack.get("aftersales", f"/tickets/{ticket['ticket_id']}", AGENT)
        return seen if seen["phase"] == phase and note in (None, seen["note"]) else None

    try:
        return await until(there, "")
    except AssertionError:
        raise AssertionError(f"{phase}, {note} expected, is {seen['phase']}, {seen['note']}") from None


async def refunded(shop: Shop, order_id: str, amount: int) -> dict[str, Any]:
    """The sales order's page, once that much money is back."""

    async def there() -> dict[str, Any] | None:
        page = await shop.order(order_id)
        return page if page["refunded"] == amount else None

    return await until(there, f"{amount} of {order_id} to be back")


async def goods(shop: Shop, ticket: dict[str, Any], verb: str, body: object, by: str) -> dict[str, Any]:
    """A step of goods that come back, which goes well."""
    page: dict[str, Any] = good(
        await shop.stack.post("logistics", f"/returns/{ticket['ticket_id']}/{verb}", body, by=by)
    )
    return page


async def announced(shop: Shop, ticket: dict[str, Any], phase: str = "announced") -> dict[str, Any]:
    """What the store knows of the goods, once they are in this phase."""

    async def there() -> dict[str, Any] | None:
        answer = await shop.stack.ask("GET", "logistics", f"/returns/{ticket['ticket_id']}", by="courier")
        return answer.json() if answer.status_code == 200 and answer.json()["phase"] == phase else None

    return await until(there, f"the goods of {ticket['ticket_id']} to be {phase}")


def inspection(*found: tuple[str, int, bool]) -> dict[str, Any]:
    """What the storekeeper says: SPU, pieces, whether they can be sold again."""
    return {"lines": [{"spu": s, "quantity": q, "resellable": r} for s, q, r in found]}


def line(page: dict[str, Any], spu: str) -> dict[str, Any]:
    """A line of an order's page."""
    return next(found for found in page["lines"] if found["spu"] == spu)


# -- money for goods ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "back"), [(None, 2 * APPLE), (120, 120)])
async def test_goods_that_stay_are_refunded(shop: Shop, amount: int | None, back: int) -> None:
    """Two apples are bad: money, all of it or what was agreed, and a document that moves no stock."""
    agreed = {"amount": amount} if amount else {}
    order_id, ticket = await asked(shop, "refund_only", {shop.apple: 2}, liable="supplier", **agreed)
    assert (ticket["liable"], ticket["overdue"], ticket["lines"]) == ("supplier", False, lines({shop.apple: 2}))
    good(await decided(shop, ticket, "approve"))
    page = await refunded(shop, order_id, back)
    assert [(r["amount"], r["reason"], r["liable"]) for r in page["refunds"]] == [(back, "refund_only", "supplier")]
    apples = line(page, shop.apple)
    assert (apples["refunded"], apples["returned"], apples["left"]) == (2, 0, 1)
    assert await shop.papers(order_id, "sales_issue", "damage_report")
    await shop.stock_is(shop.apple, 97)
    refused(await opened(shop, order_id, "return", {shop.apple: 2}), 409, "more_than_delivered")
    told = [(e["message"], e["source"]) for e in (await shop.until(order_id, "closed"))["timeline"]]
    assert ("TicketOpened", ticket["ticket_id"]) in told
    assert ("WindowShut", order_id) in told


async def test_returned_goods_are_refunded_for_what_came(shop: Shop) -> None:
    """Two apples and the milk were announced, an apple and the milk came, the milk spoilt: money for these two."""
    order_id, ticket = await asked(shop, "return", {shop.apple: 2, shop.milk: 1})
    good(await decided(shop, ticket, "approve"))
    assert (await announced(shop, ticket))["exchange"] is False
    await goods(shop, ticket, "collected", {"courier": "c-7"}, "courier")
    await goods(shop, ticket, "goods-back", {}, "courier")
    too_many = inspection((shop.apple, 3, True))
    path = f"/returns/{ticket['ticket_id']}/inspected"
    refused(await shop.stack.post("logistics", path, too_many, by="storekeeper"), 422, "more_than_announced")
    found = inspection((shop.apple, 1, True), (shop.milk, 1, False))
    await goods(shop, ticket, "inspected", found, "storekeeper")
    refused(await shop.stack.post("logistics", path, found, by="storekeeper"), 409, "already_inspected")
    page = await refunded(shop, order_id, APPLE + MILK)
    await ticket_is(shop, ticket, "resolved", "returned")
    assert (line(page, shop.apple)["returned"], line(page, shop.apple)["left"]) == (1, 2)
    assert await shop.papers(order_id, "sales_issue", "return_receipt", "damage_report")
    await shop.stock_is(shop.apple, 98)
    await shop.stock_is(shop.milk, 99)
    await shop.until(order_id, "closed")


async def test_goods_that_do_not_come_are_not_refunded(shop: Shop) -> None:
    """The customer forgets it: no money moves."""
    order_id, ticket = await asked(shop, "return", {shop.apple: 1})
    good(await decided(shop, ticket, "approve"))
    await ticket_is(shop, ticket, "rejected", "goods_overdue")
    page = await shop.until(order_id, "closed")
    assert (page["refunded"], line(page, shop.apple)["left"]) == (0, 3)


# -- goods for goods ---------------------------------------------------------------------------------------------------


async def replaced(shop: Shop, ticket: dict[str, Any], body: object = None) -> str:
    """Approved, and on its way; the id of the replacement order."""
    good(await decided(shop, ticket, "approve", body))
    return str((await ticket_is(shop, ticket, "replacing"))["replacement"])


async def test_bad_goods_are_exchanged(shop: Shop) -> None:
    """Another apple goes out; the courier takes the bad one along, the store throws it away. No money moves."""
    order_id, ticket = await asked(shop, "exchange", {shop.apple: 1})
    new = await replaced(shop, ticket)
    assert new == f"{order_id}~r1"
    await announced(shop, ticket)
    await shop.deliver(new)
    assert (await announced(shop, ticket, "collected"))["courier"] == "c-1"
    await goods(shop, ticket, "goods-back", {}, "courier")
    await goods(shop, ticket, "inspected", inspection((shop.apple, 1, False)), "storekeeper")
    await ticket_is(shop, ticket, "resolved", "exchanged")
    page = await shop.order(order_id)
    (replacement,) = page["replacements"]
    assert (replacement["order_id"], replacement["about"], replacement["kind"]) == (new, order_id, "exchange")
    assert replacement["lines"] == [
        {"spu": shop.apple, "quantity": 1, "price": APPLE, "instead_of": shop.apple, "paid": APPLE}
    ]
    assert (line(page, shop.apple)["exchanged"], line(page, shop.apple)["left"]) == (1, 2)
    own = await shop.order(new)
    assert (own["kind"], own["replaces"], own["total"], own["paid"]) == ("replacement", order_id, 0, 0)
    assert [d["kind"] for d in own["documents"]] == ["replacement_issue"]
    await shop.stock_is(shop.apple, 96)
    closed = await shop.until(order_id, "closed")
    assert (await shop.order(new))["phase"] == "closed"
    assert closed["refunded"] == 0
    assert {e["source"] for e in closed["timeline"]} == {order_id, new, ticket["ticket_id"]}


async def test_goods_that_are_not_there_are_chosen_again(shop: Shop) -> None:
    """No more of it: the ticket says so; other goods, too dear ones, unknown ones, and at last the money."""
    order_id, ticket = await asked(shop, "replenishment", {shop.milk: 1})
    count = {"lines": [{"spu": shop.milk, "delta": -99}], "reason": "counted"}
    good(await shop.stack.post("inventory", f"/stores/{shop.store}/adjustments", count, by="storekeeper"))
    good(await decided(shop, ticket, "approve"))
    await ticket_is(shop, ticket, "open", "out_of_stock")
    other = {"replacement_lines": [{"spu": shop.apple, "quantity": 1}]}
    refused(await decided(shop, ticket, "approve", other), 409, "replacement_price_differs")
    unknown = {"replacement_lines": [{"spu": "moon-cheese", "quantity": 1}]}
    refused(await decided(shop, ticket, "approve", unknown), 422, "replacement_unknown")
    good(await decided(shop, ticket, "approve", {"kind": "refund_only"}))
    await refunded(shop, order_id, MILK)
    await ticket_is(shop, ticket, "resolved", "refunded")


async def test_replacement_that_comes_back_is_chosen_again(shop: Shop) -> None:
    """Cancelled, then nobody at home: each time the ticket is open again; at last it is rejected, and all closes."""
    order_id, ticket = await asked(shop, "replenishment", {shop.apple: 1})
    first = await replaced(shop, ticket)
    await shop.fulfilment(first, "queued")
    page = await shop.order(first)
    refused(await shop.cancel(page), 409, "cancel_needs_ticket")
    good(await shop.cancel(page, by=AGENT))
    await ticket_is(shop, ticket, "open", "cancelled_by_customer_service")
    second = await replaced(shop, ticket)
    assert second == f"{order_id}~r2"
    await shop.begin(second)
    await shop.pack(second)
    await shop.send_out(second)
    await shop.work(second, "undeliverable", {"reason": "nobody at home"}, by="courier")
    await shop.work(second, "goods-back", by="courier")
    await shop.work(second, "inspected", inspection((shop.apple, 1, True)), by="storekeeper")
    await ticket_is(shop, ticket, "open", "not_reachable")
    await shop.stock_is(shop.apple, 97)
    good(await decided(shop, ticket, "reject", {"reason": "moved away"}))
    closed = await shop.until(order_id, "closed")
    assert [r["phase"] for r in closed["replacements"]] == ["cancelled", "cancelled"]
    assert line(closed, shop.apple)["left"] == 3


async def test_short_replacement_is_refunded_in_part(shop: Shop) -> None:
    """One of two apples is not on the shelf: the customer goes without, and the sales order gives its money."""
    order_id, ticket = await asked(shop, "replenishment", {shop.apple: 2})
    new = await replaced(shop, ticket)
    await shop.begin(new)
    await shop.work(new, "picked", {"short": [{"spu": shop.apple, "missing": 1}]})
    call = await shop.ticket(new, "shortage", "open")
    good(await shop.call(call, "drop"))
    await shop.until(new, "picking")
    await shop.pack(new)
    await shop.send_out(new)
    await shop.work(new, "delivered", by="courier")
    await ticket_is(shop, ticket, "resolved", "replaced")
    page = await refunded(shop, order_id, APPLE)
    apples = line(page, shop.apple)
    assert (apples["replenished"], apples["refunded"], apples["left"]) == (1, 1, 1)
    assert (await shop.order(new))["refunded"] == 0


async def test_replacement_of_a_replacement(shop: Shop) -> None:
    """The new apple is bad as well: it hangs on the same sales order, and gives back what the first one cost."""
    order_id, ticket = await asked(shop, "replenishment", {shop.apple: 1})
    new = await replaced(shop, ticket)
    await shop.deliver(new)
    again = good(await opened(shop, new, "replenishment", {shop.apple: 1}))
    last = await replaced(shop, await ticket_is(shop, again, "open"))
    assert last == f"{order_id}~r2"
    await shop.deliver(last)
    await ticket_is(shop, again, "resolved")
    money = await ticket_is(shop, good(await opened(shop, last, "refund_only", {shop.apple: 1})), "open")
    refused(await opened(shop, last, "refund_only", {shop.apple: 1}), 409, "more_than_delivered")
    good(await decided(shop, money, "approve"))
    page = await refunded(shop, order_id, APPLE)
    assert [r["about"] for r in page["replacements"]] == [order_id, new]
    await shop.until(order_id, "closed")
    assert (await shop.order(last))["phase"] == "closed"


# -- words -------------------------------------------------------------------------------------------------------------


async def test_bad_rating_becomes_a_refund(shop: Shop) -> None:
    """One star opens a complaint; a person finds out what it is about."""
    order_id = await delivered(shop)
    stars = {"order_id": order_id, "stars": 1, "text": "the apples!"}
    refused(await shop.stack.post("aftersales", "/ratings", stars, by="customer:a-else"), 404, "order_unknown")
    good(await shop.stack.post("aftersales", "/ratings", stars, by=shop.customer))
    refused(
        await shop.stack.post("aftersales", "/ratings", {**stars, "stars": 5}, by=shop.customer), 409, "already_rated"
    )
    ticket = await shop.ticket(order_id, "quality", "open")
    assert (ticket["reason"], ticket["opened_by"]) == ("the apples!", shop.customer)
    refused(await decided(shop, ticket, "approve"), 422, "ticket_kind_needed")
    refused(await decided(shop, ticket, "approve", {"kind": "return"}), 422, "lines_needed")
    good(await decided(shop, ticket, "approve", {"kind": "refund_only", "lines": lines({shop.apple: 1})}))
    await refunded(shop, order_id, APPLE)
    refused(await decided(shop, ticket, "reject", {"reason": "no"}), 409, "ticket_closed")


async def test_late_intercept_becomes_a_return(shop: Shop) -> None:
    """The customer has opened the door: the same ticket takes the goods back."""
    order_id = await delivered(shop)
    body = {"order_id": order_id, "kind": "intercept", "reason": "wrong address"}
    ticket = await ticket_is(
        shop, good(await shop.stack.post("aftersales", "/tickets", body, by=AGENT)), "resolved", "too_late"
    )
    assert (ticket["offers"], ticket["allowed"]) == (["return"], ["approve"])
    refused(await shop.cancel(await shop.order(order_id)), 409, "cancel_needs_ticket")
    good(await decided(shop, ticket, "approve", {"kind": "return", "lines": lines({shop.milk: 1})}))
    await announced(shop, ticket)
    await goods(shop, ticket, "goods-back", {}, "storekeeper")  # the customer came by
    await goods(shop, ticket, "inspected", inspection((shop.milk, 1, True)), "storekeeper")
    await refunded(shop, order_id, MILK)


async def test_who_works_on_a_ticket_has_it(shop: Shop) -> None:
    """A claim is a lease: nobody else decides, everybody sees whose it is, and it can be given back."""
    order_id, ticket = await asked(shop, "refund_only", {shop.apple: 1})
    ada, bo = f"{AGENT}:ada", f"{AGENT}:bo"
    claimed = good(await decided(shop, ticket, "claim", by=ada))
    assert claimed["claimed_by"] == ada
    for verb, body in (("claim", {}), ("approve", {}), ("reject", {"reason": "no"})):
        refused(await decided(shop, ticket, verb, body, by=bo), 409, "ticket_claimed")
    good(await decided(shop, ticket, "note", {"text": "asks for a picture"}, by=bo))
    (on_page,) = (await shop.order(order_id))["tickets"]
    assert on_page["claimed_by"] == ada
    good(await decided(shop, ticket, "release", by=ada))
    good(await decided(shop, ticket, "approve", by=bo))
    page = await ticket_is(shop, ticket, "resolved")
    assert [(s["step"], s["actor"]) for s in page["timeline"]][1:] == [
        ("ClaimTicket", ada),
        ("NoteTicket", bo),
        ("ReleaseTicket", ada),
        ("ApproveTicket", bo),
    ]
    assert [(n["by"], n["text"]) for n in page["notes"]] == [(bo, "asks for a picture")]


# -- what cannot be ----------------------------------------------------------------------------------------------------


async def test_two_tickets_at_once_are_one(shop: Shop) -> None:
    """Two people open a ticket about the same three apples in the same moment; and one is decided twice."""
    order_id = await delivered(shop)
    answers = await asyncio.gather(*(opened(shop, order_id, "refund_only", {shop.apple: 3}) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [202, 409]
    ticket = next(answer.json() for answer in answers if answer.status_code == 202)
    decisions = await asyncio.gather(
        decided(shop, ticket, "approve"), decided(shop, ticket, "reject", {"reason": "no"})
    )
    assert sorted(answer.status_code for answer in decisions) == [202, 409]
    approved = decisions[0].status_code == 202
    await refunded(shop, order_id, 3 * APPLE if approved else 0)


async def test_what_cannot_be_complained_about(shop: Shop) -> None:
    """Not delivered, not there, not of this order, too much, for no money, by the wrong person, and after the end."""
    waiting = await shop.paid({shop.apple: 1})
    refused(await opened(shop, waiting["order_id"], "return", {shop.apple: 1}), 409, "order_not_delivered")
    early = {"order_id": waiting["order_id"], "stars": 5}
    refused(await shop.stack.post("aftersales", "/ratings", early, by=shop.customer), 409, "order_not_delivered")
    refused(await opened(shop, "o-nobody", "return", {shop.apple: 1}), 404, "order_unknown")
    order_id = await delivered(shop)
    for wanted, more, status, code in (
        ({"moon-cheese": 1}, {}, 422, "line_not_delivered"),
        ({shop.apple: 4}, {}, 409, "more_than_delivered"),
        ({shop.apple: 1}, {"amount": APPLE + 1}, 422, "amount_too_large"),
        ({}, {}, 422, "lines_needed"),
    ):
        refused(await opened(shop, order_id, "refund_only", wanted, **more), status, code)
    refused(await opened(shop, order_id, "return", {shop.apple: 1}, amount=1), 422, "amount_does_not_fit")
    odd = {"replacement_lines": [{"spu": shop.apple, "quantity": 2}]}
    refused(await opened(shop, order_id, "exchange", {shop.apple: 1}, **odd), 422, "replacement_does_not_fit")
    for nonsense in ({"amount": 0}, {"kind": "magic"}, {"replacement_lines": [{"spu": "x", "quantity": 0}]}):
        body = {"order_id": order_id, "kind": "refund_only", "lines": lines({shop.apple: 1}), **nonsense}
        assert (await shop.stack.post("aftersales", "/tickets", body, by=AGENT)).status_code == 422
    for stars in (0, 6):
        rating = {"order_id": order_id, "stars": stars}
        assert (await shop.stack.post("aftersales", "/ratings", rating, by=shop.customer)).status_code == 422
    ticket = {"order_id": order_id, "kind": "return", "lines": lines({shop.apple: 1})}
    refused(await shop.stack.post("aftersales", "/tickets", ticket, by=shop.customer), 403, "wrong_role")
    await shop.until(order_id, "closed")
    refused(await opened(shop, order_id, "return", {shop.apple: 1}), 409, "order_closed")
    last = {"order_id": order_id, "stars": 5}
    refused(await shop.stack.post("aftersales", "/ratings", last, by=shop.customer), 409, "order_closed")
    assert (await shop.order(order_id))["refunded"] == 0
