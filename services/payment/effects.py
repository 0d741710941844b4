"""Calls to the gateway: from an effect that the decider asked for to the gateway's answer, as a message of the service.

The generic runner decides when and how many at once; this says what one call is and how patient it is. The rule that
matters: a charge that may have reached the gateway without an answer is never sent again, it is asked about.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from prometheus_client import Counter

from services.payment import inner
from services.payment.boundary import UnusableAnswer, usable
from services.payment.decider import ASK, CHARGE, REFUND_EFFECT
from services.payment.gateway import (
    Captured,
    CaptureReported,
    Declined,
    Found,
    Gateway,
    GatewayTimeout,
    GatewayUnavailable,
    GivenBack,
    KeyReused,
    Known,
    NoMoney,
    Refunded,
    RefundRefused,
    UnknownKey,
    UnknownReference,
)
from services.payment.reports import LOOK_UP
from shared.runtime.said import Effect

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2
PAUSE_MAX_S = 10.0
"""Pauses between calls to a gateway that does not answer double from the first to this one."""

UNANSWERED = Counter("larder_gateway_unanswered_total", "Calls that the gateway did not answer", ["kind"])
UNUSABLE = Counter("larder_gateway_unusable_total", "Answers of the gateway that are out of range", ["kind"])

Answer = Known | GivenBack | Found | None
"""What the gateway said; None: nothing, in time, or nothing that could be used."""
Told = (
    inner.GatewayTook
    | inner.GatewayDeclined
    | inner.GatewayTimedOut
    | inner.GatewayKnowsNoMoney
    | inner.GatewayRefunded
    | inner.GatewayRefusedRefund
    | inner.GatewayFound
    | inner.GatewayFoundNothing
)

T = TypeVar("T")


def told(effect: Effect, answer: Answer) -> Told:
    """The gateway's answer to an effect, as the decider hears it."""
    arguments = effect.arguments
    order_id, key = arguments["order_id"], arguments.get("key", "")
    match answer:
        case CaptureReported():
            return inner.GatewayFound(
                order_id, answer.key, answer.reference, answer.amount, answer.at, arguments["report"], answer.order_id
            )
        case UnknownReference():
            return inner.GatewayFoundNothing(order_id, arguments["report"])
        case Captured():
            return inner.GatewayTook(order_id, key, answer.reference, answer.amount, answer.at)
        case Declined():
            return inner.GatewayDeclined(order_id, key, answer.code)
        case NoMoney() | UnknownKey():
            return inner.GatewayKnowsNoMoney(order_id, key)
        case Refunded():
            return inner.GatewayRefunded(order_id, arguments["refund"], answer.reference, answer.amount, answer.at)
        case RefundRefused():
            return inner.GatewayRefusedRefund(order_id, arguments["refund"], answer.code)
        case None:
            return inner.GatewayTimedOut(order_id, key)


class GatewayCalls:
    """What the runner calls for every effect of the payment service."""

    def __init__(
        self, gateway: Gateway, *, first_pause_s: float = FIRST_PAUSE_S, pause_max_s: float = PAUSE_MAX_S
    ) -> None:
        self._gateway = gateway
        self._first_pause_s = first_pause_s
        self._pause_max_s = pause_max_s

    async def run(self, effect: Effect, resumed: bool) -> Told:
        """Does one call, however long the gateway is away. `resumed`: the effect was found open after a restart, so
        nobody knows whether it was begun."""
        if effect.kind == CHARGE:
            return told(effect, await self._charge(effect, resumed))
        if effect.kind == ASK:
            return told(effect, await self._ask(effect))
        if effect.kind == REFUND_EFFECT:
            return told(effect, await self._refund(effect))
        if effect.kind == LOOK_UP:
            return told(effect, await self._look_up(effect))
        raise ValueError(f"effect {effect.id} is of kind {effect.kind!r}, which the payment service does not know")

    async def _charge(self, effect: Effect, resumed: bool) -> Captured | Declined | NoMoney | UnknownKey | None:
        a = effect.arguments
        if resumed:
            known = await self._ask(effect)
            if not isinstance(known, UnknownKey):
                return known

        async def call() -> Captured | Declined:
            return await self._gateway.charge(a["key"], a["order_id"], a["amount"], a["currency"], a["method"])

        try:
            return await self._again(effect, call, GatewayUnavailable)
        except GatewayTimeout:
            UNANSWERED.labels(CHARGE).inc()
            return None
        except UnusableAnswer:
            return None  # the money may have moved, as without an answer
        except KeyReused as mistake:
            # Somebody charged under our key: whether money moved is all that matters now.
            log.error("charge %s: %s", a["key"], mistake)
            return await self._ask(effect)
        except ValueError as mistake:
            log.error("charge %s was not sent: %s", a["key"], mistake)
            return Declined("invalid_request")

    async def _ask(self, effect: Effect) -> Known:
        async def call() -> Known:
            return await self._gateway.ask(effect.arguments["key"])

        return await self._again(effect, call, GatewayUnavailable, GatewayTimeout, UnusableAnswer)

    async def _look_up(self, effect: Effect) -> Found:
        async def call() -> Found:
            return await self._gateway.look_up(effect.arguments["reference"])

        try:
            return await self._again(effect, call, GatewayUnavailable, GatewayTimeout, UnusableAnswer)
        except ValueError as mistake:
            log.error("%r was not looked up: %s", effect.arguments["reference"], mistake)
            return UnknownReference()

    async def _refund(self, effect: Effect) -> GivenBack:
        a = effect.arguments

        async def call() -> GivenBack:
            return await self._gateway.refund(a["key"], a["reference"], a["amount"], a["reason"])

        answer: GivenBack
        try:
            answer = await self._again(effect, call, GatewayUnavailable, GatewayTimeout, UnusableAnswer)
        except KeyReused:
            answer = RefundRefused("key_reused")
        except ValueError as mistake:
            log.error("refund %s was not sent: %s", a["key"], mistake)
            answer = RefundRefused("invalid_request")
        if isinstance(answer, RefundRefused):
            log.error("refund %s of %d from %s was refused: %s", a["key"], a["amount"], a["reference"], answer.code)
        return answer

    async def _again(self, effect: Effect, call: Callable[[], Awaitable[T]], *until_not: type[Exception]) -> T:
        """Calls until the gateway answers, and so that it can be used; the key makes all calls one."""
        pause_s = self._first_pause_s
        while True:
            try:
                return self._usable(effect, await call())
            except until_not as away:
                UNANSWERED.labels(effect.kind).inc()
                log.warning("effect %s: %s; again in %.1f s", effect.id, away, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._pause_max_s)

    def _usable(self, effect: Effect, answer: T) -> T:
        try:
            return usable(answer)
        except UnusableAnswer as wrong:
            UNUSABLE.labels(effect.kind).inc()
            log.error("effect %s: the gateway's answer cannot be meant: %s", effect.id, wrong)
            raise
