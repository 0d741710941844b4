"""The payment gateway behind a bad line: the real rules over a book of its own, the real calls, no loop to run them on.

The payment service's coroutines are stepped by hand: each call that they await is told to this side, which answers it
at its time. What has reached the gateway is booked, also when the caller has died meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import partial
from types import coroutine
from typing import Any

from msgspec.structs import replace

from larder.simulation.link import Around
from services.payment.effects import GatewayCalls, Told
from services.payment.gateway import (
    CaptureReported,
    Charged,
    Found,
    GatewayTimeout,
    GatewayUnavailable,
    GivenBack,
    KeyReused,
    Known,
)
from services.payment.simulator.book import Ask, Book, Call, Capture, Charge, LookUp, Refund, Reply, capture_reference
from services.payment.simulator.rules import answer_call, make_due_captures
from shared.runtime.said import Effect
from shared.runtime.shard import EffectAnswered

TIMEOUT_S = 10.0
"""How long the payment service waits for the gateway."""
WAY_S = 0.05
"""Longest time that a call takes to the gateway."""
RELENTS = 0.4
"""How likely a refund that was refused is done when somebody asks for it anew."""
PAUSE_S = 3.0
"""Longest pause before a call that failed is made again."""


class BrokenCall(Exception):
    """Something on our side that nobody thought of."""


@coroutine
def _tell(call: Call) -> Generator[Call, Any, Any]:
    """Hands a call to whoever steps the coroutine, and comes back with the answer."""
    return (yield call)


class OtherEnd:
    """The port of `services.payment.gateway`, as the payment service sees it."""

    async def charge(self, key: str, order_id: str, amount: int, currency: str, method: str) -> Charged:
        """Takes money."""
        answer: Charged = await _tell(Charge(key, order_id, amount, currency, method))
        return answer

    async def ask(self, key: str) -> Known:
        """What became of a charge?"""
        answer: Known = await _tell(Ask(key))
        return answer

    async def refund(self, key: str, reference: str, amount: int, reason: str) -> GivenBack:
        """Gives money back."""
        answer: GivenBack = await _tell(Refund(key, reference, amount, reason))
        return answer

    async def look_up(self, reference: str) -> Found:
        """Whose capture is this?"""
        answer: Found = await _tell(LookUp(reference))
        return answer

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> CaptureReported:
        """Webhooks come as `ReportMoney` here: their signature is another test's business."""
        raise NotImplementedError


Back = Callable[[Any, Exception | None], None]
"""Goes on with the caller: an answer, or what was raised."""


class Gateway:
    """The gateway's book, and the line to it. `report` takes its webhooks."""

    def __init__(self, around: Around, report: Callable[[CaptureReported], None]) -> None:
        self.around = around
        self.book = Book()
        self._report = report

    def carry(self, call: Call, back: Back) -> None:
        """Takes a call to the gateway, or does not."""
        around = self.around
        clock, dice = around.clock, around.dice
        if around.is_hit(around.weather.gateway_away):
            clock.after(dice.random() * WAY_S, back, None, GatewayUnavailable("away"))
        elif around.is_hit(around.weather.gateway_silent / 2):
            clock.after(TIMEOUT_S, back, None, GatewayTimeout("no answer; it never got there"))
        else:
            clock.after(dice.random() * WAY_S, self._arrive, call, back)

    def take_for_nobody(self, charge: Charge) -> Capture:
        """Money that somebody else had taken, for an order that there is not; and the webhook that tells of it."""
        answer_call(self.book, charge, self.around.clock.now)
        capture = self.book.captures[capture_reference(charge.key)]
        self.book.report(capture)
        self._hear_news()
        return capture

    def _arrive(self, call: Call, back: Back) -> None:
        around = self.around
        if isinstance(call, Refund):
            self._maybe_relent(call)
        try:
            answer = answer_call(self.book, call, around.clock.now)
        except KeyReused as mistake:
            back(None, mistake)
            return
        self._hear_news()
        delay_s = 0.0
        if isinstance(answer, Reply):
            told, delay_s = answer.told(TIMEOUT_S)
            if told is None:
                around.clock.after(TIMEOUT_S, back, None, GatewayTimeout("no answer"))
                return
            answer = told
        if around.is_hit(around.weather.gateway_silent):
            around.clock.after(TIMEOUT_S, back, None, GatewayTimeout("the answer got lost"))
        else:
            around.clock.after(delay_s + around.dice.random() * WAY_S, back, answer, None)

    def _maybe_relent(self, call: Refund) -> None:
        """A bank that refused a refund may do it when it is asked under another key."""
        refused = [r.refund.key for r in self.book.refused.values() if r.refund.capture == call.capture]
        if (
            refused
            and call.key not in refused
            and call.capture in self.book.captures
            and self.around.dice.random() < RELENTS
        ):
            key = self.book.captures[call.capture].key
            intent = self.book.intents[key]
            self.book.intents[key] = replace(intent, charge=replace(intent.charge, method="tok_ok"))

    def _hear_news(self) -> None:
        changes = self.book.drain()
        for pending in changes.pending:
            self.around.clock.at(pending.due_at, self._take_late_money)
        for report in changes.reports:
            self._report(report)

    def _take_late_money(self) -> None:
        make_due_captures(self.book, self.around.clock.now)
        self._hear_news()


def _drop(answered: EffectAnswered) -> None:
    """Nobody is there to hear it."""


class Calls:
    """The effects of one owner (the rules of `shared.runtime.effects`): dropped when it dies."""

    def __init__(self, gateway: Gateway, deliver: Callable[[EffectAnswered], None]) -> None:
        self._gateway = gateway
        self._around = gateway.around
        self._deliver = deliver
        self._calls = GatewayCalls(OtherEnd(), first_pause_s=0.0)
        self._closed = False

    def start(self, effect: Effect, *, resumed: bool = False) -> None:
        """Makes the call; `resumed` when nobody knows whether it was begun."""
        if not self._closed:
            self._step(effect, self._calls.run(effect, resumed), None, None)

    def close(self) -> None:
        """Drops what is under way."""
        self._closed = True
        self._deliver = _drop

    def _step(self, effect: Effect, call: Coroutine[Any, Any, Told], answer: Any, error: Exception | None) -> None:
        if self._closed:
            call.close()
            return
        around = self._around
        if answer is not None and around.is_hit(around.weather.effect_breaks):
            error = BrokenCall()
        try:
            asked: Call | None = call.throw(error) if error else call.send(answer)
        except StopIteration as done:
            self._deliver(EffectAnswered(effect.id, done.value))
        except BrokenCall:
            around.clock.after(PAUSE_S, partial(self.start, effect, resumed=True))
        else:
            back = partial(self._step, effect, call)
            if asked is None:  # a pause
                around.clock.after(around.dice.random() * PAUSE_S, back, None, None)
            else:
                self._gateway.carry(asked, back)
