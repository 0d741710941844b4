"""The calls to the gateway: what is sent, what is sent again, and what never is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from services.payment import inner
from services.payment.effects import GatewayCalls
from services.payment.gateway import (
    Captured,
    CaptureReported,
    Declined,
    GatewayTimeout,
    GatewayUnavailable,
    KeyReused,
    NoMoney,
    Refunded,
    RefundRefused,
    UnknownKey,
    UnknownReference,
)
from shared.runtime.said import Effect

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = "o-1:1"
CHARGE = Effect(KEY, "charge", {"order_id": "o-1", "key": KEY, "amount": 649, "currency": "EUR", "method": "tok_ok"})
ASK = Effect(f"{KEY}:ask", "ask", {"order_id": "o-1", "key": KEY})
REFUND = Effect(
    "o-1:refund-1",
    "refund",
    {"order_id": "o-1", "refund": 1, "key": "o-1:refund-1", "reference": "cap-1", "amount": 649, "reason": "sold_out"},
)
LOOK_UP = Effect("o-1:look-up:d:1", "look_up", {"order_id": "o-1", "report": "d", "reference": "cap-1"})
CAPTURED = Captured("cap-1", 649, AT)
TOOK = inner.GatewayTook("o-1", KEY, "cap-1", 649, AT)
AWAY = GatewayUnavailable("the line broke")
LATE = GatewayTimeout("no answer")


class Script:
    """A gateway that gives these answers, one after the other, and writes down what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.calls: list[tuple[Any, ...]] = []

    def _next(self, *call: Any) -> Any:
        self.calls.append(call)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def charge(self, key: str, order_id: str, amount: int, currency: str, method: str) -> Any:
        return self._next("charge", key, order_id, amount, currency, method)

    async def ask(self, key: str) -> Any:
        return self._next("ask", key)

    async def refund(self, key: str, reference: str, amount: int, reason: str) -> Any:
        return self._next("refund", key, reference, amount, reason)

    async def look_up(self, reference: str) -> Any:
        return self._next("look_up", reference)

    def read_webhook(self, headers: Any, body: bytes) -> Any:
        raise NotImplementedError


async def play(effect: Effect, *answers: Any, resumed: bool = False) -> tuple[Any, Sequence[str]]:
    """Runs an effect against a gateway with these answers: what the decider hears, and the names of the calls."""
    gateway = Script(*answers)
    heard = await GatewayCalls(gateway, first_pause_s=0, pause_max_s=0).run(effect, resumed)
    assert gateway._answers == [], "the gateway has answers left"
    return heard, [call[0] for call in gateway.calls]


async def test_charge_sends_what_was_asked_for() -> None:
    """The key, the order, the amount, the currency and the method reach the gateway as they are."""
    gateway = Script(CAPTURED)
    assert await GatewayCalls(gateway).run(CHARGE, resumed=False) == TOOK
    assert gateway.calls == [("charge", KEY, "o-1", 649, "EUR", "tok_ok")]


async def test_charge_declined() -> None:
    """A no is an answer."""
    heard, calls = await play(CHARGE, Declined("card_declined"))
    assert (heard, calls) == (inner.GatewayDeclined("o-1", KEY, "card_declined"), ["charge"])


async def test_charge_that_timed_out_is_not_sent_again() -> None:
    """The money may have moved: the decider hears of the silence and has the gateway asked."""
    heard, calls = await play(CHARGE, LATE)
    assert (heard, calls) == (inner.GatewayTimedOut("o-1", KEY), ["charge"])


async def test_charge_that_did_not_arrive_is_sent_again() -> None:
    """Under the same key that is the same charge."""
    heard, calls = await play(CHARGE, AWAY, AWAY, CAPTURED)
    assert (heard, calls) == (TOOK, ["charge", "charge", "charge"])


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (CAPTURED, TOOK),
        (Declined("card_declined"), inner.GatewayDeclined("o-1", KEY, "card_declined")),
        (NoMoney(), inner.GatewayKnowsNoMoney("o-1", KEY)),
    ],
)
async def test_resumed_charge_that_the_gateway_knows_is_not_sent(known: Any, expected: Any) -> None:
    """After a restart nobody knows whether the charge went out: what the gateway knows is the answer."""
    assert await play(CHARGE, AWAY, known, resumed=True) == (expected, ["ask", "ask"])


async def test_resumed_charge_that_the_gateway_does_not_know_is_sent() -> None:
    """It never went out."""
    assert await play(CHARGE, UnknownKey(), CAPTURED, resumed=True) == (TOOK, ["ask", "charge"])


async def test_charge_under_a_key_used_before_is_asked_about() -> None:
    """Whatever went wrong, whether money moved is what matters."""
    assert await play(CHARGE, KeyReused("o-1:1"), CAPTURED) == (TOOK, ["charge", "ask"])


async def test_charge_with_impossible_arguments_is_declined() -> None:
    """The customer may try again; the order does not hang."""
    heard, _ = await play(CHARGE, ValueError("method"))
    assert heard == inner.GatewayDeclined("o-1", KEY, "invalid_request")


@pytest.mark.parametrize("nothing", [NoMoney(), UnknownKey()])
async def test_asking_goes_on_until_there_is_an_answer(nothing: Any) -> None:
    """Asking moves no money, so it is done as often as it takes. A key that is not known has no money."""
    heard, calls = await play(ASK, AWAY, LATE, nothing)
    assert (heard, calls) == (inner.GatewayKnowsNoMoney("o-1", KEY), ["ask", "ask", "ask"])


async def test_refund_is_repeated_under_the_same_key() -> None:
    """The gateway gives back once, however often it is told to."""
    gateway = Script(AWAY, LATE, Refunded("ref-1", 649, AT))
    calls = GatewayCalls(gateway, first_pause_s=0)
    assert await calls.run(REFUND, resumed=True) == inner.GatewayRefunded("o-1", 1, "ref-1", 649, AT)
    assert gateway.calls == [("refund", "o-1:refund-1", "cap-1", 649, "sold_out")] * 3


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (RefundRefused("unknown_capture"), "unknown_capture"),
        (KeyReused("o-1:refund-1"), "key_reused"),
        (ValueError("reason"), "invalid_request"),
    ],
)
async def test_refund_that_will_never_be_done_is_told(answer: Any, code: str) -> None:
    """Asking again would not help: a person has to see it."""
    heard, calls = await play(REFUND, answer)
    assert (heard, calls) == (inner.GatewayRefusedRefund("o-1", 1, code), ["refund"])


async def test_reference_is_looked_up_until_there_is_an_answer() -> None:
    """Looking moves no money; what the gateway says is told as it is, also of another order."""
    heard, calls = await play(LOOK_UP, AWAY, LATE, CaptureReported("cap-1", "o-2", "o-2:1", 5, AT))
    assert heard == inner.GatewayFound("o-1", "o-2:1", "cap-1", 5, AT, "d", "o-2")
    assert calls == ["look_up"] * 3
    assert (await play(LOOK_UP, UnknownReference()))[0] == inner.GatewayFoundNothing("o-1", "d")
    assert (await play(LOOK_UP, ValueError("reference")))[0] == inner.GatewayFoundNothing("o-1", "d")


BEFORE_TIME = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=8)))
"""An instant that PostgreSQL keeps and nobody can read back."""
NOT_MEANT: list[dict[str, Any]] = [
    *({"reference": wrong} for wrong in ("", " ", "x" * 201, "a\0b", "a\x1b[2J", "\ud800", None, 7)),
    *({"amount": wrong} for wrong in (0, -1, 10**12 + 1, True, 1.5, "1", None)),
    *({"at": wrong} for wrong in (BEFORE_TIME, datetime(1999, 12, 31, tzinfo=UTC), datetime(2026, 1, 1), "noon", None)),
]


def odd(answer: Any, wrong: dict[str, Any]) -> Any:
    """The answer with something in it that cannot be meant."""
    return replace(answer, **wrong)


@pytest.mark.parametrize("wrong", NOT_MEANT, ids=repr)
async def test_answer_out_of_range_is_no_answer(wrong: dict[str, Any]) -> None:
    """A charge is then asked about, since the money may have moved; everything else is asked again, until the answer
    can be used. Nothing raises, and nothing out of range is told on."""
    assert await play(CHARGE, odd(CAPTURED, wrong)) == (inner.GatewayTimedOut("o-1", KEY), ["charge"])
    assert await play(ASK, odd(CAPTURED, wrong), CAPTURED) == (TOOK, ["ask", "ask"])
    assert await play(CHARGE, odd(CAPTURED, wrong), CAPTURED, resumed=True) == (TOOK, ["ask", "ask"])
    given = Refunded("ref-1", 649, AT)
    assert (await play(REFUND, odd(given, wrong), given))[1] == ["refund", "refund"]
    seen = CaptureReported("cap-1", "o-1", KEY, 649, AT)
    assert (await play(LOOK_UP, odd(seen, wrong), odd(seen, {"key": ""}), odd(seen, {"order_id": "\0"}), seen))[
        0
    ] == inner.GatewayFound("o-1", KEY, "cap-1", 649, AT, "d", "o-1")


@pytest.mark.parametrize("code", ["", "x" * 201, "a\0b", "\u202e", None])
async def test_code_that_cannot_be_shown_is_replaced(code: Any) -> None:
    """A no is a no, in whatever words."""
    assert (await play(CHARGE, Declined(code)))[0] == inner.GatewayDeclined("o-1", KEY, "unreadable_code")
    assert (await play(REFUND, RefundRefused(code)))[0] == inner.GatewayRefusedRefund("o-1", 1, "unreadable_code")


async def test_unknown_kind_is_a_mistake_of_ours() -> None:
    """It raises, naming the effect; the runner keeps it open and says so."""
    with pytest.raises(ValueError, match="of kind 'gift'"):
        await play(Effect("e-1", "gift", {}))
