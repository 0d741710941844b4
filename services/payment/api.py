"""Payment over HTTP: what staff see of an order's money, and the door for the gateway's webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from services.payment.gateway import BadSignature, CaptureReported, Gateway, UnreadableReport
from services.payment.state import Payment, Refund
from services.payment.store import PaymentStore
from shared.contracts.base import Name
from shared.contracts.payment import ReportMoney
from shared.http.asked import Asked
from shared.http.auth import Caller, Role, require
from shared.http.problems import refusal, register
from shared.http.trace import traceparent_of
from shared.service import Parts

register(
    {
        "payment_unknown": (404, "No payment of this order"),
        "bad_signature": (401, "The webhook is not signed by the gateway"),
        "report_invalid": (422, "The webhook does not tell of a capture"),
    }
)

# Payment does not know whose order it is: customers see their payments on the order's page.
Staff = Annotated[Caller, Depends(require(Role.CUSTOMER_SERVICE))]


class MoneyIn(BaseModel):
    """Money taken, in minor units; `refunded` is what is back or on its way."""

    amount: int
    at: datetime
    reference: str
    refunded: int


class MoneyBack(BaseModel):
    """Money of one capture on its way back (`phase` asked, refunded or refused); `code` says why it was refused."""

    refund: int
    phase: str
    amount: int
    reason: str
    liable: str
    capture: str
    reference: str | None
    at: datetime | None
    code: str | None


class AttemptPage(BaseModel):
    """A click of the customer: `phase` is charging, asking, taken, declined or given_up."""

    attempt: int
    amount: int
    method: str
    phase: str
    code: str | None


class PaymentsPage(BaseModel):
    """An order's money, in minor units."""

    order_id: str
    phase: str
    payments: list[MoneyIn]
    refunds: list[MoneyBack]
    attempts: list[AttemptPage]


class Taken(BaseModel):
    """The report has arrived for good: it need not be sent again."""

    reference: str


class _GatewayItself(Caller):
    """Who acts when the gateway reports money: not a person with a role."""

    @property
    def actor(self) -> str:
        return "gateway:"


def routes(parts: Parts, gateway: Gateway) -> list[APIRouter]:
    """The payment service's routes."""
    router = APIRouter(tags=["payments"])
    store = PaymentStore()

    @router.get("/orders/{order_id}/payments")
    async def payments(order_id: Name, caller: Staff) -> PaymentsPage:
        async with parts.pool.acquire() as connection:
            payment, refunds = await store.load_order(connection, order_id)
        if payment is None:
            raise refusal("payment_unknown")
        return _page(payment, refunds)

    @router.post("/gateway/webhook")
    async def webhook(request: Request) -> Taken:
        """Signed by the gateway; no bearer token. 2xx once the report is decided, also for one told before."""
        try:
            report = gateway.read_webhook(request.headers, await request.body())
        except BadSignature as wrong:
            raise refusal("bad_signature", str(wrong)) from None
        except UnreadableReport as wrong:
            raise refusal("report_invalid", str(wrong)) from None
        answer = await parts.desk.answer_to(_command(report), _asked(report, traceparent_of(request.scope)))
        # A report that parked is kept and waits for a person: sending it again would help nobody.
        if not answer.accepted and answer.code != "parked":
            raise refusal(answer.code or "refused")
        return Taken(reference=report.reference)

    return [router]


def _command(report: CaptureReported) -> ReportMoney:
    if report.amount < 1:
        raise refusal("report_invalid", f"an amount of {report.amount} is no money")
    return ReportMoney(
        order_id=report.order_id,
        reference=report.reference,
        attempt_key=report.key,
        amount=report.amount,
        at=report.at,
    )


def _asked(report: CaptureReported, traceparent: str) -> Asked:
    """A repeat of a report is the same command: the gateway's reference is its identity."""
    gateway = _GatewayItself(Role.ADMIN, subject="gateway")
    return Asked(gateway, f"webhook:{report.reference}", fingerprint="", traceparent=traceparent, keyed=True)


def _page(payment: Payment, refunds: Sequence[Refund]) -> PaymentsPage:
    return PaymentsPage(
        order_id=payment.order_id,
        phase=payment.phase,
        payments=[
            MoneyIn(amount=c.amount, at=c.at, reference=c.reference, refunded=c.given_back) for c in payment.captures
        ],
        refunds=[
            MoneyBack(
                refund=r.number,
                phase=r.phase,
                amount=r.amount,
                reason=r.reason,
                liable=r.liable,
                capture=r.capture,
                reference=r.reference or None,
                at=r.at,
                code=r.code or None,
            )
            for r in refunds
        ],
        attempts=[
            AttemptPage(
                attempt=a.number,
                amount=a.amount,
                method=a.method,
                phase=a.outcome or payment.phase,
                code=a.code or None,
            )
            for a in payment.attempts
        ],
    )
