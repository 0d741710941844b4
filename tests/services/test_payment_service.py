"""The payment service with the built-in gateway: from the command to the page, and the gateway's webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest
from msgspec.structs import replace

from services.payment import api
from services.payment.api import routes
from services.payment.contradictions import unsettled
from services.payment.decider import DECIDER
from services.payment.effects import GatewayCalls
from services.payment.gateway import CaptureReported
from services.payment.simulator import webhook
from services.payment.simulator.bookkeeper import MemoryBookkeeper
from services.payment.simulator.front import GatewaySimulator
from services.payment.store import PaymentStore
from shared.contracts import payment
from shared.runtime.decider import Inner
from shared.runtime.said import Effect
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts
SECRET = b"the webhooks' secret"
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
REPORT = CaptureReported("cap_1", "o-1", "o-1:1", 649, AT)


class WithGateway(Inside):
    """The service, and the gateway that it calls."""

    gateway: GatewaySimulator


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[WithGateway]:
    """A payment service with an empty database, and a gateway whose webhooks come straight to it."""

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        return (await it.post_bytes(url, body, dict(headers))).status_code

    gateway = GatewaySimulator(
        MemoryBookkeeper(), timeout_s=0.05, secret=SECRET, webhook_url="/gateway/webhook", post=post
    )
    async with inside(DECIDER, PaymentStore(), lambda p: routes(p, gateway), parts.fresh_database) as it, gateway:
        it.run = GatewayCalls(gateway, first_pause_s=0.01).run
        it.gateway = gateway  # type: ignore[attr-defined]
        yield cast(WithGateway, it)


def attempt(method: str = "tok_ok", number: int = 1) -> payment.TakePayment:
    """The customer's click."""
    return payment.TakePayment(order_id="o-1", attempt=number, amount=649, currency="EUR", method=method)


def refund(number: int, amount: int, reference: str = "cap_o-1:1") -> payment.RefundPayment:
    """Some of it goes back."""
    return payment.RefundPayment(
        order_id="o-1", refund=number, amount=amount, reference=reference, reason="sold_out", liable="store"
    )


async def page(service: WithGateway) -> dict[str, Any]:
    """What staff see."""
    answer = await service.ask("GET", "/orders/o-1/payments", role="customer_service")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def deliver(service: WithGateway, report: CaptureReported, secret: bytes = SECRET) -> tuple[int, Any]:
    """The gateway's webhook arrives."""
    body = webhook.write(report).encode()
    answer = await service.post_bytes("/gateway/webhook", body, webhook.signed_headers(secret, body, datetime.now(UTC)))
    return answer.status_code, answer.json()


async def test_taken_and_given_back(service: WithGateway) -> None:
    """Money comes, a part of it goes back: the page and the journal tell both, and nothing stays open."""
    assert await service.hear(attempt()) == ["PaymentTaken"]
    assert await service.hear(refund(1, 200)) == ["PaymentRefunded"]
    shown = await page(service)
    (money,), (back,), (click,) = shown["payments"], shown["refunds"], shown["attempts"]
    assert (shown["order_id"], shown["phase"]) == ("o-1", "taken")
    assert (money["amount"], money["reference"], money["refunded"]) == (649, "cap_o-1:1", 200)
    assert (back["amount"], back["phase"], back["reason"], back["liable"]) == (200, "refunded", "sold_out", "store")
    assert back["at"] is not None
    assert (click["attempt"], click["phase"], click["method"]) == (1, "taken", "tok_ok")
    journal = await service.pool.fetch("select kind, amount, reason, liable from journal order by kind")
    assert [tuple(row) for row in journal] == [
        ("captured", 649, "payment", None),
        ("refunded", 200, "sold_out", "store"),
    ]
    assert await service.pool.fetchval("select count(*) from effects") == 0


async def test_declined_and_tried_again(service: WithGateway) -> None:
    """The second click has a key of its own, and the page shows both."""
    assert await service.hear(attempt("tok_declined")) == ["PaymentDeclined"]
    await service.forget()
    assert await service.hear(attempt("tok_ok", 2)) == ["PaymentTaken"]
    clicks = (await page(service))["attempts"]
    assert [(c["attempt"], c["phase"], c["code"]) for c in clicks] == [
        (1, "declined", "card_declined"),
        (2, "taken", None),
    ]


async def test_slow_answer_is_asked_for(service: WithGateway) -> None:
    """The charge times out, the money was taken: asking finds it."""
    assert await service.hear(attempt("tok_slow:0.2")) == ["PaymentTaken"]


async def test_late_money_is_unasked(service: WithGateway) -> None:
    """The charge times out, the gateway knows no money, the attempt is given up; then the money comes."""
    assert await service.hear(attempt("tok_late:0.2")) == ["PaymentGivenUp"]
    await service.until_said("MoneyUnasked")
    shown = await page(service)
    assert (shown["phase"], len(shown["payments"])) == ("open", 1)
    assert await service.hear(refund(1, 649)) == ["PaymentRefunded"]


async def test_money_that_comes_twice_is_unasked_once(service: WithGateway) -> None:
    """The second capture is told by a webhook; the first is the payment."""
    assert await service.hear(attempt("tok_twice")) == ["PaymentTaken"]
    await service.until_said("MoneyUnasked")
    assert [m["amount"] for m in (await page(service))["payments"]] == [649, 649]


async def test_webhook_told_again_is_no_news(service: WithGateway) -> None:
    """However often it comes, before and after a restart: 200 and what became of it, and the money is booked once."""
    await service.hear(attempt("tok_twice"))
    await service.until_said("MoneyUnasked")
    for reference, outcome in (("cap_o-1:1", "known"), ("cap2_o-1:1", "confirmed")):
        report = await service.gateway.look_up(reference)
        assert isinstance(report, CaptureReported)
        for _ in range(3):
            assert await deliver(service, report) == (200, {"reference": reference, "outcome": outcome})
            await service.forget()
    assert len((await page(service))["payments"]) == 2
    assert (await page(service))["contradictions"] == []


async def test_capture_belongs_to_one_order(service: WithGateway) -> None:
    """A signed report names another order with the reference of this one's capture, told first and told again: the
    other one gets no money, the answer says so, a person is shown it, and what was paid can go back."""
    await service.hear(attempt())
    capture = await service.gateway.look_up("cap_o-1:1")
    assert isinstance(capture, CaptureReported)
    for _ in range(2):
        status, problem = await deliver(service, replace(capture, order_id="o-2"))
        assert (status, problem["code"]) == (409, "report_contradicts")
        await service.forget()
    other = (await service.ask("GET", "/orders/o-2/payments")).json()
    assert (other["phase"], other["payments"]) == ("new", [])
    (shown,) = other["contradictions"]
    assert (shown["why"], shown["reference"], shown["told_by"]) == ("other_order", "cap_o-1:1", "gateway:")
    assert (shown["told"]["order_id"], shown["known"]["order_id"]) == ("o-2", "o-1")
    assert await service.hear(refund(1, 649)) == ["PaymentRefunded"]
    assert await service.pool.fetchval("select count(*) from journal where order_id = 'o-2'") == 0


@pytest.mark.parametrize("wrong", [{"amount": 250}, {"key": "o-1:2"}, {"at": AT}, {"reference": "cap_unheard_of"}])
async def test_report_that_contradicts_is_kept_and_told(service: WithGateway, wrong: dict[str, Any]) -> None:
    """Whatever of it is not so, and however often it comes: 409, the books stay, one contradiction."""
    await service.hear(attempt())
    capture = await service.gateway.look_up("cap_o-1:1")
    assert isinstance(capture, CaptureReported)
    before = (await page(service))["payments"]
    for _ in range(2):
        status, problem = await deliver(service, replace(capture, **wrong))
        assert (status, problem["code"]) == (409, "report_contradicts")
    assert (await page(service))["payments"] == before
    assert len((await page(service))["contradictions"]) == 1
    assert (await deliver(service, capture))[0] == 200
    assert not any(commit.parked for commit in service.commits)


async def test_contradiction_waits_for_a_person(service: WithGateway) -> None:
    """It raises the alarm and stands in the list until somebody says what he found out."""
    await deliver(service, REPORT)
    assert await unsettled(service.pool) == 1
    (waiting,) = (await service.ask("GET", "/contradictions?settled=false", role="customer_service")).json()["items"]
    path = f"/contradictions/{waiting['id']}/settled"
    for blank in ({}, {"note": ""}, {"note": " "}, {"note": "a\0"}):
        assert (await service.ask("PUT", path, blank)).status_code == 422
    settled = await service.ask("PUT", path, {"note": "the gateway had a bad day"}, role="customer_service")
    assert (settled.status_code, settled.json()["note"]) == (200, "the gateway had a bad day")
    assert settled.json()["settled_by"].startswith("customer_service:")
    assert await unsettled(service.pool) == 0
    assert (await service.ask("GET", "/contradictions?settled=false")).json()["items"] == []
    assert len((await service.ask("GET", "/contradictions")).json()["items"]) == 1
    unknown = await service.ask("PUT", "/contradictions/999/settled", {"note": "what"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "contradiction_unknown")
    assert (await service.ask("GET", "/contradictions", role="customer", account="a-1")).status_code == 403


async def test_report_is_taken_while_the_gateway_is_away(service: WithGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept for good, so the gateway may stop: what becomes of it is found out later."""
    monkeypatch.setattr(api, "LOOKED_UP_S", 0.01)
    service.run = None
    assert await deliver(service, REPORT) == (200, {"reference": "cap_1", "outcome": "asked"})


async def test_webhook_with_a_bad_signature_is_refused(service: WithGateway) -> None:
    """Nobody but the gateway reports money: 401, and nothing happens."""
    status, problem = await deliver(service, REPORT, secret=b"another secret")
    assert (status, problem["code"]) == (401, "bad_signature")
    unsigned = await service.post_bytes("/gateway/webhook", webhook.write(REPORT).encode(), {})
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "bad_signature")
    assert service.commits == []


BEFORE_TIME = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=8)))
"""An instant that PostgreSQL keeps and nobody can read back."""
NONSENSE: list[dict[str, Any]] = [
    *({"at": at} for at in (BEFORE_TIME, datetime(1999, 12, 31, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))),
    *({"amount": amount} for amount in (0, -1, 10**12 + 1, 10**30)),
    *({name: text} for name in ("reference", "key") for text in ("", " ", "x" * 201, "a\0", "\x1b[2J", "\u202e")),
    *({"order_id": text} for text in ("", " ", "x" * 65, "o 1", "\x1b")),
]


@pytest.mark.parametrize("wrong", NONSENSE, ids=repr)
async def test_webhook_that_tells_nonsense_is_refused(service: WithGateway, wrong: dict[str, Any]) -> None:
    """Signed, and still nothing to look up: 422, whichever field is out of its range, and nothing is kept of it."""
    status, problem = await deliver(service, replace(REPORT, **wrong))
    assert (status, problem["code"] in ("report_invalid", "invalid_request")) == (422, True)
    assert service.commits == []


async def test_payment_with_an_instant_nobody_can_mean_stays_readable(service: WithGateway) -> None:
    """A refund's time that slipped in: the page shows the nearest one there is, and the worker goes on."""
    await service.hear(attempt())
    await service.hear(refund(1, 200))
    for instant in ("0001-01-01T00:00:00+08:00", "4000-01-01 BC", "infinity", "-infinity", "12000-01-01"):
        await service.pool.execute(f"update refunds set at = '{instant}'")
        await service.forget()
        assert (await page(service))["refunds"][0]["at"]
        await service.hear(refund(1, 200))
    assert not any(commit.parked for commit in service.commits)


async def test_refund_that_the_gateway_will_not_do_is_seen(service: WithGateway) -> None:
    """It stays in the order's payments with the gateway's code, and the order hears of it."""
    await service.hear(attempt())
    await service.pool.execute("update payments set captures = replace(captures, 'cap_o-1:1', 'cap_unheard_of')")
    await service.forget()
    assert await service.hear(refund(1, 649, "cap_unheard_of")) == ["PaymentRefundRefused"]
    (back,) = (await page(service))["refunds"]
    assert (back["phase"], back["code"], back["at"]) == ("refused", "unknown_capture", None)


async def test_refund_refused_for_good_blocks_nothing(service: WithGateway) -> None:
    """Money that the gateway keeps: each refund of it is refused, over HTTP for all to see, and nothing parks."""
    assert await service.hear(attempt("tok_no_refund")) == ["PaymentTaken"]
    assert await service.hear(refund(1, 200)) == ["PaymentRefundRefused"]
    await service.forget()
    assert await service.hear(refund(2, 649)) == ["PaymentRefundRefused"]
    shown = await page(service)
    assert [(r["phase"], r["code"]) for r in shown["refunds"]] == [("refused", "not_refundable")] * 2
    assert shown["payments"][0]["refunded"] == 0
    assert not any(commit.parked for commit in service.commits)


async def test_refund_over_the_rest_never_reaches_the_gateway(service: WithGateway) -> None:
    """It is refused with a code and moves nothing; what is left can still go back."""
    await service.hear(attempt())
    assert await service.hear(refund(1, 200)) == ["PaymentRefunded"]
    await service.forget()
    assert await service.hear(refund(2, 450)) == ["PaymentRefundRefused"]
    assert service.commits[-1].effects_opened == []
    assert await service.hear(refund(3, 449)) == ["PaymentRefunded"]
    shown = await page(service)
    assert [(r["refund"], r["phase"], r["code"]) for r in shown["refunds"]] == [
        (1, "refunded", None),
        (2, "refused", "refund_over_rest"),
        (3, "refunded", None),
    ]
    assert shown["payments"][0]["refunded"] == 649


async def test_refund_whose_answer_was_lost_is_asked_for_again(service: WithGateway) -> None:
    """The process died with the answer: the same key makes the second call the same refund, told and written once."""
    await service.hear(attempt())
    call = service.run
    assert call

    async def answer_lost_first(effect: Effect, resumed: bool) -> Inner:
        await call(effect, resumed)
        return await call(effect, True)

    service.run = answer_lost_first
    assert await service.hear(refund(1, 400)) == ["PaymentRefunded"]
    assert await service.hear(refund(2, 249)) == ["PaymentRefunded"]
    refunds = await service.pool.fetch("select amount from journal where kind = 'refunded' order by amount")
    assert [row["amount"] for row in refunds] == [249, 400]


async def test_only_staff_may_look(service: WithGateway) -> None:
    """Payment does not know whose order it is: customers look at the order's page."""
    await service.hear(attempt())
    answer = await service.ask("GET", "/orders/o-1/payments", role="customer", account="a-1")
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")
    unknown = await service.ask("GET", "/orders/o-2/payments")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "payment_unknown")
