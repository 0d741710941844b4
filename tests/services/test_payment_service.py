"""The payment service with the built-in gateway: from the command to the page, and the gateway's webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from services.payment.api import routes
from services.payment.decider import DECIDER
from services.payment.effects import GatewayCalls
from services.payment.gateway import CaptureReported
from services.payment.simulator import webhook
from services.payment.simulator.bookkeeper import MemoryBookkeeper
from services.payment.simulator.front import GatewaySimulator
from services.payment.store import PaymentStore
from shared.contracts.payment import RefundPayment, TakePayment
from shared.runtime.decider import Inner
from shared.runtime.said import Effect
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts
SECRET = b"the webhooks' secret"
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
REPORT = CaptureReported("cap_1", "o-1", "o-1:1", 649, AT)


@pytest.fixture
async def payment(parts: RealParts) -> AsyncIterator[Inside]:
    """A payment service with an empty database, and a gateway whose webhooks come straight to it."""

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        return (await service.post_bytes(url, body, dict(headers))).status_code

    gateway = GatewaySimulator(
        MemoryBookkeeper(), timeout_s=0.05, secret=SECRET, webhook_url="/gateway/webhook", post=post
    )
    async with inside(DECIDER, PaymentStore(), lambda p: routes(p, gateway), parts.fresh_database) as service, gateway:
        service.run = GatewayCalls(gateway, first_pause_s=0.01).run
        yield service


def attempt(method: str = "tok_ok", number: int = 1) -> TakePayment:
    """The customer's click."""
    return TakePayment(order_id="o-1", attempt=number, amount=649, currency="EUR", method=method)


def refund(number: int, amount: int, reference: str = "cap_o-1:1") -> RefundPayment:
    """Some of it goes back."""
    return RefundPayment(
        order_id="o-1", refund=number, amount=amount, reference=reference, reason="sold_out", liable="store"
    )


async def page(payment: Inside) -> dict[str, Any]:
    """What staff see."""
    answer = await payment.ask("GET", "/orders/o-1/payments", role="customer_service")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def deliver(payment: Inside, report: CaptureReported, secret: bytes = SECRET) -> tuple[int, Any]:
    """The gateway's webhook arrives."""
    body = webhook.write(report).encode()
    answer = await payment.post_bytes("/gateway/webhook", body, webhook.signed_headers(secret, body, datetime.now(UTC)))
    return answer.status_code, answer.json()


async def test_taken_and_given_back(payment: Inside) -> None:
    """Money comes, a part of it goes back: the page and the journal tell both, and nothing stays open."""
    assert await payment.hear(attempt()) == ["PaymentTaken"]
    assert await payment.hear(refund(1, 200)) == ["PaymentRefunded"]
    shown = await page(payment)
    (money,), (back,), (click,) = shown["payments"], shown["refunds"], shown["attempts"]
    assert (shown["order_id"], shown["phase"]) == ("o-1", "taken")
    assert (money["amount"], money["reference"], money["refunded"]) == (649, "cap_o-1:1", 200)
    assert (back["amount"], back["phase"], back["reason"], back["liable"]) == (200, "refunded", "sold_out", "store")
    assert back["at"] is not None
    assert (click["attempt"], click["phase"], click["method"]) == (1, "taken", "tok_ok")
    journal = await payment.pool.fetch("select kind, amount, reason, liable from journal order by kind")
    assert [tuple(row) for row in journal] == [
        ("captured", 649, "payment", None),
        ("refunded", 200, "sold_out", "store"),
    ]
    assert await payment.pool.fetchval("select count(*) from effects") == 0


async def test_declined_and_tried_again(payment: Inside) -> None:
    """The second click has a key of its own, and the page shows both."""
    assert await payment.hear(attempt("tok_declined")) == ["PaymentDeclined"]
    await payment.forget()
    assert await payment.hear(attempt("tok_ok", 2)) == ["PaymentTaken"]
    clicks = (await page(payment))["attempts"]
    assert [(c["attempt"], c["phase"], c["code"]) for c in clicks] == [
        (1, "declined", "card_declined"),
        (2, "taken", None),
    ]


async def test_slow_answer_is_asked_for(payment: Inside) -> None:
    """The charge times out, the money was taken: asking finds it."""
    assert await payment.hear(attempt("tok_slow:0.2")) == ["PaymentTaken"]


async def test_late_money_is_unasked(payment: Inside) -> None:
    """The charge times out, the gateway knows no money, the attempt is given up; then the money comes."""
    assert await payment.hear(attempt("tok_late:0.2")) == ["PaymentGivenUp"]
    await payment.until_said("MoneyUnasked")
    shown = await page(payment)
    assert (shown["phase"], len(shown["payments"])) == ("open", 1)
    assert await payment.hear(refund(1, 649)) == ["PaymentRefunded"]


async def test_money_that_comes_twice_is_unasked_once(payment: Inside) -> None:
    """The second capture is told by a webhook; the first is the payment."""
    assert await payment.hear(attempt("tok_twice")) == ["PaymentTaken"]
    await payment.until_said("MoneyUnasked")
    assert [m["amount"] for m in (await page(payment))["payments"]] == [649, 649]


async def test_webhook_told_again_is_no_news(payment: Inside) -> None:
    """However often it comes, before and after a restart: 200, and the money is booked once."""
    await payment.hear(attempt())
    report = CaptureReported("cap2_o-1:1", "o-1", "o-1:1", 649, AT)
    for _ in range(3):
        assert await deliver(payment, report) == (200, {"reference": "cap2_o-1:1"})
        await payment.forget()
    await payment.pool.execute("delete from answers")
    assert (await deliver(payment, report))[0] == 200
    assert len((await page(payment))["payments"]) == 2


async def test_webhook_with_a_bad_signature_is_refused(payment: Inside) -> None:
    """Nobody but the gateway reports money: 401, and nothing happens."""
    status, problem = await deliver(payment, REPORT, secret=b"another secret")
    assert (status, problem["code"]) == (401, "bad_signature")
    unsigned = await payment.post_bytes("/gateway/webhook", webhook.write(REPORT).encode(), {})
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "bad_signature")
    assert payment.commits == []


@pytest.mark.parametrize(
    "report", [CaptureReported("cap_1", "", "k", 649, AT), CaptureReported("cap_1", "o-1", "k", 0, AT)]
)
async def test_webhook_that_tells_nonsense_is_refused(payment: Inside, report: CaptureReported) -> None:
    """Signed, and still nothing to book: 422."""
    assert (await deliver(payment, report))[0] == 422


async def test_webhook_that_parks_is_not_sent_again(payment: Inside) -> None:
    """Money of another amount is a person's matter; the report is kept, so the gateway may stop."""
    payment.run = None
    await payment.hear(attempt())
    status, _ = await deliver(payment, CaptureReported("cap_o-1:1", "o-1", "o-1:1", 648, AT))
    assert status == 200
    assert [parked.code for parked in payment.commits[-1].parked] == ["decider_raised"]


async def test_refund_that_the_gateway_will_not_do_is_seen(payment: Inside) -> None:
    """It stays in the order's payments with the gateway's code, and the order hears of it."""
    payment_run, payment.run = payment.run, None
    await payment.hear(attempt())
    await deliver(payment, CaptureReported("cap_unheard_of", "o-1", "o-1:1", 649, AT))
    payment.run = payment_run
    assert await payment.hear(refund(1, 649, "cap_unheard_of")) == ["PaymentRefundRefused"]
    (back,) = (await page(payment))["refunds"]
    assert (back["phase"], back["code"], back["at"]) == ("refused", "unknown_capture", None)


async def test_refund_refused_for_good_blocks_nothing(payment: Inside) -> None:
    """Money that the gateway keeps: each refund of it is refused, over HTTP for all to see, and nothing parks."""
    assert await payment.hear(attempt("tok_no_refund")) == ["PaymentTaken"]
    assert await payment.hear(refund(1, 200)) == ["PaymentRefundRefused"]
    await payment.forget()
    assert await payment.hear(refund(2, 649)) == ["PaymentRefundRefused"]
    shown = await page(payment)
    assert [(r["phase"], r["code"]) for r in shown["refunds"]] == [("refused", "not_refundable")] * 2
    assert shown["payments"][0]["refunded"] == 0
    assert not any(commit.parked for commit in payment.commits)


async def test_refund_over_the_rest_never_reaches_the_gateway(payment: Inside) -> None:
    """It is refused with a code and moves nothing; what is left can still go back."""
    await payment.hear(attempt())
    assert await payment.hear(refund(1, 200)) == ["PaymentRefunded"]
    await payment.forget()
    assert await payment.hear(refund(2, 450)) == ["PaymentRefundRefused"]
    assert payment.commits[-1].effects_opened == []
    assert await payment.hear(refund(3, 449)) == ["PaymentRefunded"]
    shown = await page(payment)
    assert [(r["refund"], r["phase"], r["code"]) for r in shown["refunds"]] == [
        (1, "refunded", None),
        (2, "refused", "refund_over_rest"),
        (3, "refunded", None),
    ]
    assert shown["payments"][0]["refunded"] == 649


async def test_refund_whose_answer_was_lost_is_asked_for_again(payment: Inside) -> None:
    """The process died with the answer: the same key makes the second call the same refund, told and written once."""
    await payment.hear(attempt())
    call = payment.run
    assert call

    async def answer_lost_first(effect: Effect, resumed: bool) -> Inner:
        await call(effect, resumed)
        return await call(effect, True)

    payment.run = answer_lost_first
    assert await payment.hear(refund(1, 400)) == ["PaymentRefunded"]
    assert await payment.hear(refund(2, 249)) == ["PaymentRefunded"]
    refunds = await payment.pool.fetch("select amount from journal where kind = 'refunded' order by amount")
    assert [row["amount"] for row in refunds] == [249, 400]


async def test_only_staff_may_look(payment: Inside) -> None:
    """Payment does not know whose order it is: customers look at the order's page."""
    await payment.hear(attempt())
    answer = await payment.ask("GET", "/orders/o-1/payments", role="customer", account="a-1")
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")
    unknown = await payment.ask("GET", "/orders/o-2/payments")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "payment_unknown")
