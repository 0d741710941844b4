"""The shelf has less than the books: the picker says so, somebody calls the customer, or the deadline decides."""

import asyncio
from typing import Any

from tests.system.driver import Stack, good, refused
from tests.system.shop import APPLE, MILK, Shop

DROPPED = ("sales_issue", "issue_reversal", "adjustment")


async def short(shop: Shop, wanted: dict[str, int], missing: dict[str, int]) -> tuple[str, dict[str, Any]]:
    """An order whose picker misses pieces, and the ticket that asks for a call."""
    order_id = (await shop.paid(wanted))["order_id"]
    await shop.begin(order_id)
    lines = [{"spu": spu, "missing": pieces} for spu, pieces in missing.items()]
    await shop.work(order_id, "picked", {"short": lines})
    page = await shop.until(order_id, "short")
    assert page["short"] == lines
    ticket = await shop.ticket(order_id, "shortage", "open")
    assert ticket["lines"] == [{"spu": spu, "quantity": pieces} for spu, pieces in missing.items()]
    return order_id, ticket


async def picked_again(shop: Shop, order_id: str, wanted: dict[str, int]) -> None:
    """The picker has another list now, and the order goes all its way."""
    work = await shop.fulfilment(order_id, "picking")
    assert {line["spu"]: line["quantity"] for line in work["lines"]} == wanted
    await shop.pack(order_id)
    await shop.send_out(order_id)
    await shop.work(order_id, "delivered", by="courier")
    await shop.until(order_id, "closed")


async def dropped(shop: Shop, order_id: str) -> None:
    """One of three apples is off the order, the money for it is back, and the books follow the shelf."""
    _, reversal, adjustment = await shop.papers(order_id, *DROPPED)
    assert (reversal, adjustment) == ({shop.apple: 1}, {shop.apple: -1})
    await picked_again(shop, order_id, {shop.apple: 2, shop.milk: 1})
    page = await shop.order(order_id)
    assert (page["paid"], page["refunded"]) == (3 * APPLE + MILK, APPLE)
    assert [(r["amount"], r["liable"]) for r in page["refunds"]] == [(APPLE, "store")]
    await shop.stock_is(shop.apple, 97)
    await shop.stock_is(shop.milk, 99)


async def test_the_customer_goes_without(shop: Shop) -> None:
    """Dropped: a part of the money, another list, and everything else as ever. The ticket takes no second outcome."""
    order_id, ticket = await short(shop, {shop.apple: 3, shop.milk: 1}, {shop.apple: 1})
    good(await shop.call(ticket, "drop"))
    ended = await shop.ticket(order_id, "shortage", "resolved")
    assert (ended["note"], ended["call"]["outcome"]) == ("dropped", "drop")
    refused(await shop.call(ticket, "cancel"), 409, "ticket_closed")
    await dropped(shop, order_id)


async def test_nobody_calls(stack: Stack) -> None:
    """The deadline decides as the customer would have: the short pieces are dropped. Nothing left: the order ends."""
    partly, wholly = await asyncio.gather(*(Shop(stack).open() for _ in range(2)))
    (order_id, ticket), (empty, _) = await asyncio.gather(
        short(partly, {partly.apple: 3, partly.milk: 1}, {partly.apple: 1}),
        short(wholly, {wholly.apple: 2}, {wholly.apple: 2}),
    )
    await dropped(partly, order_id)
    assert (await partly.ticket(order_id, "shortage", "resolved"))["note"] == "nobody_called"
    refused(await partly.call(ticket, "drop"), 409, "ticket_closed")
    ended = await wholly.ended(empty, 2 * APPLE)
    assert ended["reason"] == "short"
    await wholly.papers(empty, *DROPPED)
    await wholly.stock_is(wholly.apple, 98)
    page = await stack.get("risk", f"/accounts/{wholly.account}", "risk_analyst")
    assert page["cancels"] == {}


async def test_something_else_instead(shop: Shop) -> None:
    """A substitute of about the same price costs no difference; both prices are on the order."""
    pear = f"pear-{shop.store}"
    await shop.price(pear, APPLE + 40)
    await shop.receive({pear: 5})
    order_id, ticket = await short(shop, {shop.apple: 3, shop.milk: 1}, {shop.apple: 2})
    good(await shop.call(ticket, "substitute", (pear, 1, shop.apple)))
    assert (await shop.ticket(order_id, "shortage", "resolved"))["note"] == "substituted"
    await picked_again(shop, order_id, {shop.apple: 1, shop.milk: 1, pear: 1})
    page = await shop.order(order_id)
    assert page["substitutes"] == [
        {"spu": pear, "quantity": 1, "instead_of": shop.apple, "price": APPLE + 40, "paid": APPLE}
    ]
    assert page["refunded"] == APPLE  # two were missing, one was replaced
    papers = await shop.papers(order_id, *DROPPED, "sales_issue")
    assert papers[1:] == [{shop.apple: 2}, {shop.apple: -2}, {pear: 1}]
    await shop.stock_is(pear, 4)
    await shop.stock_is(shop.apple, 97)


async def test_substitutes_that_cannot_be(shop: Shop) -> None:
    """Too dear, unknown, out of stock, more than missing: somebody has to call again; then the customer cancels."""
    dear, gone = f"dear-{shop.store}", f"gone-{shop.store}"
    await shop.price(dear, 2 * APPLE)
    await shop.price(gone, APPLE)
    await shop.receive({dear: 5, gone: 1})
    order_id, ticket = await short(shop, {shop.apple: 3, shop.milk: 1}, {shop.apple: 2})
    path = f"/tickets/{ticket['ticket_id']}/approve"
    refused(await shop.stack.post("aftersales", path, {}, by="customer_service"), 409, "ticket_needs_no_approval")
    refused(await shop.call(ticket, "substitute", (gone, 3, shop.apple)), 422, "substitutes_do_not_fit")
    refused(await shop.call(ticket, "substitute", (gone, 1, shop.milk)), 422, "substitutes_do_not_fit")
    for spu, pieces, note in (
        (dear, 1, "substitute_price_differs"),
        ("a-stone", 1, "substitute_unknown"),
        (gone, 2, "substitute_out_of_stock"),
    ):
        good(await shop.call(ticket, "substitute", (spu, pieces, shop.apple)))
        again = await shop.ticket(order_id, "shortage", "open")
        assert again["note"] == note
        assert (await shop.order(order_id))["phase"] == "short"
    assert await shop.stock(gone) == (1, 0)
    good(await shop.call(ticket, "cancel"))
    ended = await shop.ended(order_id, 3 * APPLE + MILK)
    assert ended["reason"] == "short"
    _, reversal, adjustment = await shop.papers(order_id, *DROPPED)
    assert (reversal, adjustment) == ({shop.apple: 3, shop.milk: 1}, {shop.apple: -2})
    await shop.stock_is(shop.apple, 98)
    await shop.stock_is(shop.milk, 100)


async def test_cancel_while_short(shop: Shop) -> None:
    """The customer need not wait for the call: stopped, all money back at our cost, and the ticket is over."""
    order_id, ticket = await short(shop, {shop.apple: 2}, {shop.apple: 1})
    good(await shop.cancel({"order_id": order_id, "account": shop.account}))
    ended = await shop.ended(order_id, 2 * APPLE)
    assert (ended["reason"], [r["liable"] for r in ended["refunds"]]) == ("short", ["store"])
    assert (await shop.ticket(order_id, "shortage", "resolved"))["note"] == "cancelled"
    refused(await shop.call(ticket, "drop"), 409, "ticket_closed")
    refused(await shop.stack.post("logistics", f"/fulfilments/{order_id}/picked", {}, by="picker"), 409)
    await shop.stock_is(shop.apple, 99)


async def test_two_answers_at_once(shop: Shop) -> None:
    """Two people on the phone: one outcome wins, the other is told; nothing is refunded twice."""
    order_id, ticket = await short(shop, {shop.apple: 3, shop.milk: 1}, {shop.apple: 1})
    answers = await asyncio.gather(*(shop.call(ticket, "drop") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    await dropped(shop, order_id)


async def test_what_a_picker_cannot_miss(shop: Shop) -> None:
    """More than was listed, lines that are not there, and orders of other stores: refused, nothing changed."""
    order_id = (await shop.paid({shop.apple: 2}))["order_id"]
    path = f"/fulfilments/{order_id}"
    refused(await shop.stack.post("logistics", f"{path}/start-picking", {}, by="picker@elsewhere"), 403, "wrong_store")
    await shop.begin(order_id)

    async def picked(spu: str, missing: int, by: str = "picker") -> Any:
        return await shop.stack.post(
            "logistics", f"{path}/picked", {"short": [{"spu": spu, "missing": missing}]}, by=by
        )

    refused(await picked(shop.apple, 3), 422, "more_short_than_listed")
    refused(await picked(shop.milk, 1), 422, "line_unknown")
    refused(await picked(shop.apple, 0), 422)
    refused(await picked(shop.apple, 1, by="picker@elsewhere"), 403, "wrong_store")
    refused(await picked(shop.apple, 1, by=shop.customer), 403)
    assert (await shop.fulfilment(order_id, "picking"))["short"] == []
    await shop.pack(order_id)
