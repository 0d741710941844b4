"""Payment over HTTP: what staff see of an order's money, and the door for the gateway's webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ValidationError

from services.payment import contradictions
from services.payment.contradictions import ContradictionPage, SettledIn
from services.payment.gateway import BadSignature, CaptureReported, Gateway, UnreadableReport
from services.payment.state import BEING_ASKED, Payment, Refund, ReportPhase, digest_of
from services.payment.store import PaymentStore
from shared.contracts import payment
from shared.contracts.base import Name
from shared.http.asked import Asked, command_id
from shared.http.auth import Caller, Role, require
from shared.http.paging import Page, Paged
from shared.http.problems import refusal, register
from shared.http.trace import traceparent_of
from shared.http.waiting import heard
from shared.service import Parts

register(
    {
        "payment_unknown": (404, "No payment of this order"),
        "bad_signature": (401, "The webhook is not signed by the gateway"),
        "report_invalid": (422, "The webhook does not tell of a capture"),
        "report_contradicts": (409, "The report contradicts what is known of the money"),
        "contradiction_unknown": (404, "No such contradiction"),
    }
)

# Payment does not know whose order it is: customers see their payments on the order's page.
ContradictionId = Annotated[int, Path(ge=1, le=2**63 - 1)]
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
    contradictions: list[ContradictionPage]


LOOKED_UP_S = 2.0
"""How long a webhook waits for what the gateway says of its reference."""
LOOK_AGAIN_S = 0.1
"""Longest time between two looks, when nothing rings here because another worker owns the order."""
Outcome = Literal["known", "confirmed", "asked", "parked"]


class Taken(BaseModel):
    """The report has arrived for good: it need not be sent again. `outcome`: the money was `known` already; the gateway
    was asked about it and has `confirmed` it; it is being `asked`; or the report is `parked`, for a person."""

    reference: str
    outcome: Outcome


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
            state, refunds = await store.load_order(connection, order_id)
            disputed = await contradictions.of_order(connection, order_id)
        if state is None and not disputed:
            raise refusal("payment_unknown")
        return _page(state or Payment(order_id), refunds, disputed)

    @router.get("/contradictions")
    async def list_contradictions(
        caller: Staff,
        paging: Paged,
        settled: Annotated[bool | None, Query(description="only those that a person has settled, or has not")] = None,
    ) -> Page[ContradictionPage]:
        rows = await contradictions.some(parts.pool, settled, paging.after(int), paging.fetch)
        return paging.page(rows, last=lambda c: (c.id,), item=lambda c: c)

    @router.put("/contradictions/{contradiction}/settled")
    async def settle(contradiction: ContradictionId, body: SettledIn, caller: Staff) -> ContradictionPage:
        """A person has seen to it, and says how: it raises no alarm any more."""
        settled = await contradictions.settle(parts.pool, contradiction, caller.actor, body.note)
        if settled is None:
            raise refusal("contradiction_unknown")
        return settled

    @router.post("/gateway/webhook")
    async def webhook(request: Request) -> Taken:
        """Signed by the gateway; no bearer token. A report is a reason to ask the gateway about its reference: 2xx
        once it is kept for good, also when it was told before, with what became of it. 409 `report_contradicts` when
        it disagrees with what is known or with what the gateway says itself: it is kept for a person, and a gateway
        that sends it again for a while (as they do on any 4xx) does no harm, and shows it to people there."""
        try:
            report = gateway.read_webhook(request.headers, await request.body())
        except BadSignature as wrong:
            raise refusal("bad_signature", str(wrong)) from None
        except UnreadableReport as wrong:
            raise refusal("report_invalid", str(wrong)) from None
        command = _command(report)
        with parts.bell.listening(command.order_id) as ear:
            answer = await parts.desk.answer_to(command, _asked(traceparent_of(request.scope)))
            # A report that parked is kept and waits for a person: sending it again would help nobody.
            if answer.code == "parked":
                return Taken(reference=report.reference, outcome="parked")
            if not answer.accepted:
                raise refusal(answer.code or "refused")
            phase = await settled_phase(command, ear)
        if phase in (ReportPhase.CONTRADICTED, ReportPhase.UNKNOWN):
            raise refusal("report_contradicts", "it moved nothing, and is kept for a person to look at")
        return Taken(reference=report.reference, outcome=_OUTCOMES.get(phase, "asked"))

    async def settled_phase(report: payment.ReportMoney, ear: asyncio.Event) -> ReportPhase | None:
        """What became of a report, once the gateway has been asked about it; what is known by then if that takes too
        long. None: there was nothing to ask."""
        clock = asyncio.get_running_loop().time
        until = clock() + LOOKED_UP_S
        while True:
            ear.clear()
            async with parts.pool.acquire() as connection:
                kept = await store.load_report(connection, report.order_id, digest_of(report))
            if kept is None or kept.phase not in BEING_ASKED or clock() >= until:
                return kept.phase if kept else None
            await heard(ear, LOOK_AGAIN_S)

    return [router]


_OUTCOMES: dict[ReportPhase | None, Outcome] = {None: "known", ReportPhase.CONFIRMED: "confirmed"}


def _command(report: CaptureReported) -> payment.ReportMoney:
    try:
        return payment.ReportMoney(
            order_id=report.order_id,
            reference=report.reference,
            attempt_key=report.key,
            amount=report.amount,
            at=report.at,
        )
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise refusal("report_invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _asked(traceparent: str) -> Asked:
    """Every delivery is decided: the report's content is its identity, and the decider knows it again."""
    gateway = _GatewayItself(Role.ADMIN, subject="gateway")
    return Asked(gateway, command_id(gateway.identity, "", None), fingerprint="", traceparent=traceparent)


def _page(state: Payment, refunds: Sequence[Refund], disputed: Sequence[ContradictionPage]) -> PaymentsPage:
    return PaymentsPage(
        order_id=state.order_id,
        phase=state.phase,
        payments=[
            MoneyIn(amount=c.amount, at=c.at, reference=c.reference, refunded=c.given_back) for c in state.captures
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
                phase=a.outcome or state.phase,
                code=a.code or None,
            )
            for a in state.attempts
        ],
        contradictions=list(disputed),
    )
