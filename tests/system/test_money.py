"""Money that comes, does not come, comes late, twice, or for an order that is over."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import asyncpg
import httpx
from msgspec.structs import replace

from services.payment.gateway import CaptureReported
from services.payment.simulator import webhook
from services.payment.simulator.webhook import webhook_secret
from shared.settings import GATEWAY_BOOK
from tests.system.driver import good, refused, until
from tests.system.shop import Shop, attempts


async def test_a_declined_card_may_be_tried_again(shop: Shop) -> None:
    """No money, no harm: the order waits for another try until its window ends."""
    order = await shop.payable({shop.apple: 1})
    for method in ("tok_declined", "tok_nonsense", "🍎"):
        good(await shop.pay(order, method))
        again = await shop.until(order["order_id"], "awaiting_payment")
        assert (again["paid"], again["payable_until"]) == (0, order["payable_until"])
    good(await shop.pay(order))
    paid = await shop.until(order["order_id"], "awaiting_picking")
    assert paid["paid"] == paid["total"]
    assert await attempts(shop, order["order_id"]) == ["declined", "declined", "declined", "taken"]


async def test_money_that_comes_twice_goes_back_once(shop: Shop) -> None:
    """The second capture is refunded; the order goes on as if nothing had been."""
    order = await shop.payable({shop.apple: 1})
    good(await shop.pay(order, "tok_twice"))
    await shop.until(order["order_id"], "awaiting_picking")

    async def refunded() -> bool:
        page = await shop.order(order["order_id"])
        return (page["paid"], page["refunded"]) == (2 * page["total"], page["total"])

    await until(refunded, "the second capture to be refunded")
    page = await shop.order(order["order_id"])
    assert (page["phase"], len(page["payments"]), len(page["refunds"])) == ("awaiting_picking", 2, 1)
    assert [d["kind"] for d in page["documents"]] == ["sales_issue"]


async def test_six_clicks_pay_once(shop: Shop) -> None:
    """Of concurrent pays one wins and the others are told; the money is taken once, and nothing parks."""
    order = await shop.payable({shop.apple: 1})
    answers = await asyncio.gather(*(shop.pay(order, "tok_slow:0.3") for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [202, 409, 409, 409, 409, 409]
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409, "payment_under_way")
    paid = await shop.until(order["order_id"], "awaiting_picking")
    assert [p["amount"] for p in paid["payments"]] == [paid["total"]]
    refused(await shop.pay(order), 409, "order_not_payable")


async def test_six_repeats_of_one_click_are_one_click(shop: Shop) -> None:
    """The same Idempotency-Key is the same click: every one of them is told that it was accepted."""
    order = await shop.payable({shop.apple: 1})
    answers = await asyncio.gather(*(shop.pay(order, key="my-click") for _ in range(6)))
    assert [a.status_code for a in answers] == [202] * 6
    paid = await shop.until(order["order_id"], "awaiting_picking")
    assert [p["amount"] for p in paid["payments"]] == [paid["total"]]
    assert (await shop.pay(order, key="my-click")).status_code == 202
    refused(await shop.pay(order, "tok_other", key="my-click"), 422, "idempotency_key_reused")


async def test_pays_that_make_no_sense(shop: Shop) -> None:
    """A wrong total or a wrong body must not touch the order."""
    order = await shop.payable({shop.apple: 1})
    refused(await shop.pay(order, total=order["total"] - 1), 409, "total_changed")
    path = f"/orders/{order['order_id']}/pay"
    wrongs: tuple[object, ...] = (
        {},
        {"method": "tok_ok"},
        {"expected_total": order["total"]},
        {"method": "", "expected_total": order["total"]},
        {"method": "tok\x00ok", "expected_total": order["total"]},
        {"method": "x" * 500, "expected_total": order["total"]},
        {"method": ["tok_ok"], "expected_total": order["total"]},
        {"method": "tok_ok", "expected_total": str(order["total"])},
        {"method": "tok_ok", "expected_total": float(order["total"])},
        {"method": "tok_ok", "expected_total": -1},
        {"method": "tok_ok", "expected_total": 10**30},
        {"method": "tok_ok", "expected_total": order["total"], "tip": 1},
        [],
        "tok_ok",
    )
    for wrong in wrongs:
        refused(await shop.stack.post("order", path, wrong, by=shop.customer), 422)
    refused(await shop.stack.post("order", path, by=shop.customer), 422)
    assert (await shop.order(order["order_id"]))["phase"] == "awaiting_payment"
    refused(await shop.pay({**order, "order_id": "o-nobody"}), 404, "order_unknown")


async def test_only_the_gateway_tells_of_money(shop: Shop) -> None:
    """A webhook without the gateway's signature is refused, whoever sends it."""
    body = {"type": "capture.reported", "data": {"order_id": "o-1", "key": "k", "reference": "cap_1", "amount": 1}}
    post = shop.stack.post
    refused(await post("payment", "/gateway/webhook", body, by=None, key=None), 401, "bad_signature")
    refused(await post("payment", "/gateway/webhook", body, headers={"gateway-signature": "t=1,v1=" + "0" * 64}), 401)
    refused(await shop.stack.ask("GET", "payment", "/orders/o-nobody/payments"), 404, "payment_unknown")
    refused(await shop.stack.ask("GET", "payment", "/orders/o-nobody/payments", by=shop.customer), 403)


async def report(shop: Shop, told: CaptureReported) -> httpx.Response:
    """A webhook that the gateway signed, whatever it says."""
    body = webhook.write(told).encode()
    headers = webhook.signed_headers(webhook_secret(shop.stack.settings.secret()), body, datetime.now(UTC))
    return await shop.stack.post("payment", "/gateway/webhook", by=None, key=None, content=body, headers=headers)


async def test_capture_belongs_to_one_order(shop: Shop) -> None:
    """A signed report names another order with this one's capture: nobody is paid by it, people are shown it, and this
    order's money goes back to its own customer."""
    paid, other = await shop.payable({shop.apple: 1}), await shop.payable({shop.milk: 1})
    good(await shop.pay(paid))
    page = await shop.until(paid["order_id"], "awaiting_picking")
    (money,) = page["payments"]
    at = datetime.fromisoformat(money["at"])
    lie = CaptureReported(money["reference"], other["order_id"], f"{paid['order_id']}:1", money["amount"], at)
    for _ in range(2):
        refused(await report(shop, lie), 409, "report_contradicts")
    refused(await report(shop, replace(lie, order_id=paid["order_id"], amount=1)), 409, "report_contradicts")
    good(await report(shop, replace(lie, order_id=paid["order_id"])))

    shown = await shop.stack.get("payment", f"/orders/{other['order_id']}/payments")
    assert [(c["why"], c["known"]["order_id"]) for c in shown["contradictions"]] == [("other_order", paid["order_id"])]
    assert shown["payments"] == []
    assert (await shop.order(other["order_id"]))["paid"] == 0
    good(await shop.pay(other))
    await shop.until(other["order_id"], "awaiting_picking")
    good(await shop.cancel(paid))
    ended = await shop.until(paid["order_id"], "cancelled")
    assert ended["refunded"] == ended["paid"] == money["amount"]


async def test_money_for_an_order_that_never_was_goes_back(shop: Shop) -> None:
    """The gateway took it, so it is real; nobody knows the order, so it goes back and a person is shown it."""
    order_id, at = f"o-never-{shop.store}", datetime.now(UTC)
    told = CaptureReported(f"cap_{order_id}", order_id, f"elsewhere-{shop.store}", 750, at)
    book = await asyncpg.connect(shop.stack.settings.dsn(GATEWAY_BOOK))
    await book.execute("insert into intents values ($1, $2, 750, 'EUR', 'tok_ok', null, $3)", told.key, order_id, at)
    await book.execute(
        "insert into captures values ($1, $2, $3, 750, 'EUR', $4)", told.reference, told.key, order_id, at
    )
    await book.close()
    good(await report(shop, told))

    async def given_back() -> bool:
        page = await shop.stack.get("payment", f"/orders/{order_id}/payments")
        return [(r["amount"], r["phase"]) for r in page["refunds"]] == [(750, "refunded")]

    await until(given_back, "the money to go back")
    shown = await shop.stack.get("payment", f"/orders/{order_id}/payments")
    assert [c["why"] for c in shown["contradictions"]] == ["never_asked"]
    good(await report(shop, told))
    assert len((await shop.stack.get("payment", f"/orders/{order_id}/payments"))["refunds"]) == 1


async def test_report_out_of_range_is_refused(shop: Shop) -> None:
    """Signed, and nothing anybody could keep: 422, and the order can be read, paid and cancelled as before."""
    order = await shop.payable({shop.apple: 1})
    true = CaptureReported("cap_x", order["order_id"], f"{order['order_id']}:1", 250, datetime.now(UTC))
    beyond = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=8)))
    for wrong in ({"at": beyond}, {"reference": ""}, {"key": " "}, {"amount": 0}, {"amount": 10**12 + 1}):
        refused(await report(shop, replace(true, **wrong)), 422, "report_invalid")
    good(await shop.pay(order))
    await shop.until(order["order_id"], "awaiting_picking")
