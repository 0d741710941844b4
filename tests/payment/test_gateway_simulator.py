"""What the gateway simulator answers: the same from the book in memory and from the one in PostgreSQL."""

import asyncio
from datetime import timedelta

import pytest

from services.payment.gateway import (
    Captured,
    CaptureReported,
    Declined,
    Gateway,
    GatewayTimeout,
    KeyReused,
    NoMoney,
    Refunded,
    RefundRefused,
    UnknownKey,
    UnknownReference,
)
from services.payment.simulator.book import Ask, Book, Charge
from services.payment.simulator.front import GatewaySimulator
from services.payment.simulator.rules import make_due_captures, simulated_gateway_answer
from shared.contracts.base import MONEY_MAX
from tests.payment.controls import NOON, PATIENCE_S, TIMEOUT_S


def is_a_gateway(simulator: GatewaySimulator) -> Gateway:
    """Checked by mypy: the simulator fits the port."""
    return simulator


async def test_tok_ok_takes_the_money_once(gateway):
    """The same key gets the same answer again, and asking finds the same capture."""
    first = await gateway.charge("o-1:1", "o-1", 1250, "EUR", "tok_ok")
    assert first == Captured("cap_o-1:1", 1250, NOON)
    assert await gateway.charge("o-1:1", "o-1", 1250, "EUR", "tok_ok") == first
    assert await gateway.ask("o-1:1") == first


async def test_the_answer_to_a_key_is_the_same_later(gateway, clock):
    """A charge repeated after a crash of the caller tells of the money as it was taken then."""
    first = await gateway.charge("k", "o", 5, "EUR", "tok_ok")
    clock.pass_by(3600)
    assert await gateway.charge("k", "o", 5, "EUR", "tok_ok") == first


async def test_tok_declined_is_declined_for_good(gateway):
    """No money moves, and asking says why."""
    assert await gateway.charge("k", "o", 5, "EUR", "tok_declined") == Declined("card_declined")
    assert await gateway.ask("k") == Declined("card_declined")
    assert await gateway.refund("r", "cap_k", 5, "none") == RefundRefused("unknown_capture")


@pytest.mark.parametrize(
    "method",
    [
        *("", "tok", "visa", "tok_ok ", "tok_ok\n", "TOK_OK", "tok_ok:1", "tok_slow", "tok_slow:", "tok_slow:-1"),
        *("tok_slow:1e3", "tok_slow:.5", "tok_slow:nan", "tok_late:x", "tok_late:1.", "tok_late:99999999"),
        *("tok_slow:\uff11", "tok_ok\0", "tok_\ud800", "x" * 100_000),
    ],
)
async def test_any_other_method_is_declined(gateway, method):
    """Whatever stands in the method, the book takes it and the answer can be repeated."""
    assert await gateway.charge("k", "o", 5, "EUR", method) == Declined("unknown_method")
    assert await gateway.charge("k", "o", 5, "EUR", method) == Declined("unknown_method")
    assert await gateway.ask("k") == Declined("unknown_method")


@pytest.mark.parametrize("amount", [0, -1, MONEY_MAX + 1, 2**70])
async def test_an_amount_that_is_none_is_declined(gateway, amount):
    """It is not booked: the key is free for a charge that makes sense."""
    assert await gateway.charge("k", "o", amount, "EUR", "tok_ok") == Declined("invalid_amount")
    assert await gateway.ask("k") == UnknownKey()


async def test_a_key_that_nobody_charged_is_unknown(gateway):
    """The caller may then charge with it."""
    assert await gateway.ask("never") == UnknownKey()


async def test_whose_capture_a_reference_is(gateway):
    """Each capture says its order, key, amount and time, also once it was refunded; any other reference is unknown."""
    first = await gateway.charge("o-1:1", "o-1", 700, "EUR", "tok_twice")
    await gateway.refund("r", "cap_o-1:1", 700, "why")
    for reference in ("cap_o-1:1", "cap2_o-1:1"):
        assert await gateway.look_up(reference) == CaptureReported(reference, "o-1", "o-1:1", 700, first.at)
    assert await gateway.look_up("cap3_o-1:1") == UnknownReference()
    with pytest.raises(ValueError, match="1 to 500 characters"):
        await gateway.look_up("")


async def test_tok_slow_answers_late_but_in_time(gateway):
    """Within the timeout the answer comes, after the seconds that the method names."""
    loop = asyncio.get_running_loop()
    called_at = loop.time()
    assert isinstance(await gateway.charge("k", "o", 5, "EUR", "tok_slow:0.15"), Captured)
    assert loop.time() - called_at >= 0.149


async def test_tok_slow_beyond_the_timeout_times_out_and_asking_finds_the_money(gateway):
    """The money was taken at once; only the answer is late."""
    loop = asyncio.get_running_loop()
    called_at = loop.time()
    with pytest.raises(GatewayTimeout, match="k"):
        await gateway.charge("k", "o", 5, "EUR", "tok_slow:3600")
    assert TIMEOUT_S * 0.99 <= loop.time() - called_at < PATIENCE_S
    assert await gateway.ask("k") == Captured("cap_k", 5, NOON)


async def test_tok_slow_repeated_later_does_not_start_anew(gateway, clock):
    """Seconds that have passed since the first call count."""
    with pytest.raises(GatewayTimeout):
        await gateway.charge("k", "o", 5, "EUR", "tok_slow:60")
    clock.pass_by(60)
    assert await gateway.charge("k", "o", 5, "EUR", "tok_slow:60") == Captured("cap_k", 5, NOON)


async def test_tok_late_knows_of_no_money_until_it_takes_it(gateway, clock):
    """Asked before its time it holds none; from its time on it does, at that time."""
    with pytest.raises(GatewayTimeout):
        await gateway.charge("k", "o", 5, "EUR", "tok_late:30.5")
    assert await gateway.ask("k") == NoMoney()
    clock.pass_by(30.4)
    assert await gateway.ask("k") == NoMoney()
    clock.pass_by(3600)
    taken = Captured("cap_k", 5, NOON + timedelta(seconds=30.5))
    assert await gateway.ask("k") == taken
    assert await gateway.charge("k", "o", 5, "EUR", "tok_late:30.5") == taken


async def test_a_key_used_for_something_else_is_an_error(gateway):
    """Each parameter counts; the first charge stands, and calls booked together with the wrong one go through."""
    await gateway.charge("k", "o", 5, "EUR", "tok_ok")
    wrong = [("o-2", 5, "EUR", "tok_ok"), ("o", 6, "EUR", "tok_ok"), ("o", 5, "USD", "tok_ok"), ("o", 5, "EUR", "x")]
    calls = [gateway.charge("k", *said) for said in wrong]
    *refused, other = await asyncio.gather(
        *calls, gateway.charge("k-2", "o", 5, "EUR", "tok_ok"), return_exceptions=True
    )
    assert [type(answer) for answer in refused] == [KeyReused] * len(wrong)
    assert other == Captured("cap_k-2", 5, NOON)
    assert await gateway.ask("k") == Captured("cap_k", 5, NOON)


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "x" * 501])
async def test_a_key_that_no_book_can_hold_is_an_error(gateway, key):
    """It is refused before it can spoil the transaction of others."""
    with pytest.raises(ValueError, match="key"):
        await gateway.charge(key, "o", 5, "EUR", "tok_ok")
    with pytest.raises(ValueError, match="key"):
        await gateway.ask(key)


async def test_references_of_two_keys_never_meet(gateway):
    """No key can be chosen so that its capture has the name of another key's second one."""
    for key in ("k", "k_2", "2_k"):
        await gateway.charge(key, f"o-{key}", 5, "EUR", "tok_twice")
    assert len({(await gateway.ask(key)).reference for key in ("k", "k_2", "2_k")}) == 3


async def test_a_refund_goes_back_once(gateway, clock):
    """The same key gets the same answer, and asking about the charge still tells of its capture."""
    taken = await gateway.charge("k", "o", 500, "EUR", "tok_ok")
    clock.pass_by(60)
    given = await gateway.refund("r-1", taken.reference, 200, "sold_out")
    assert given == Refunded("ref_r-1", 200, clock.now)
    clock.pass_by(60)
    assert await gateway.refund("r-1", taken.reference, 200, "sold_out") == given
    assert await gateway.ask("k") == taken


async def test_tok_no_refund_is_taken_and_never_given_back(gateway):
    """The money comes like any other; each refund of it is refused, and asked again it gets the same answer."""
    capture = await gateway.charge("k", "o", 5, "EUR", "tok_no_refund")
    for key in ("r-1", "r-1", "r-2"):
        assert await gateway.refund(key, capture.reference, 5, "sold_out") == RefundRefused("not_refundable")


async def test_refunds_never_exceed_the_capture(gateway):
    """Parts may go back until nothing is left; a refused refund stays refused."""
    taken = await gateway.charge("k", "o", 500, "EUR", "tok_ok")
    assert isinstance(await gateway.refund("r-1", taken.reference, 499, "part"), Refunded)
    assert await gateway.refund("r-2", taken.reference, 2, "too much") == RefundRefused("exceeds_capture")
    assert isinstance(await gateway.refund("r-3", taken.reference, 1, "rest"), Refunded)
    assert await gateway.refund("r-2", taken.reference, 2, "too much") == RefundRefused("exceeds_capture")
    assert await gateway.refund("r-4", taken.reference, 1, "more") == RefundRefused("exceeds_capture")


async def test_refunds_at_the_same_moment_never_exceed_the_capture(gateway):
    """Of ten halves, two go back."""
    taken = await gateway.charge("k", "o", 100, "EUR", "tok_ok")
    given = await asyncio.gather(*(gateway.refund(f"r-{n}", taken.reference, 50, "half") for n in range(10)))
    assert sum(isinstance(answer, Refunded) for answer in given) == 2


@pytest.mark.parametrize("amount", [0, -5, 2**70])
async def test_a_refund_of_no_amount_is_refused(gateway, amount):
    """Nothing moves and nothing is booked."""
    await gateway.charge("k", "o", 100, "EUR", "tok_ok")
    assert await gateway.refund("r", "cap_k", amount, "none") == RefundRefused("invalid_amount")
    assert isinstance(await gateway.refund("r", "cap_k", 100, "all"), Refunded)


async def test_a_refund_key_used_for_something_else_is_an_error(gateway):
    """A key means one refund, also where it was refused."""
    await gateway.charge("k", "o", 100, "EUR", "tok_ok")
    await gateway.refund("r", "cap_k", 10, "part")
    await gateway.refund("r-no", "cap_none", 10, "part")
    with pytest.raises(KeyReused, match="r"):
        await gateway.refund("r", "cap_k", 11, "part")
    with pytest.raises(KeyReused, match="r-no"):
        await gateway.refund("r-no", "cap_k", 10, "part")


# -- the rules alone, as the simulation of the whole system drives them ------------------------------------------------


def test_the_rules_say_what_a_caller_hears_and_when():
    """On virtual time: an answer after its seconds, none at the timeout, the late money when it is due."""
    book = Book()

    def hear(method, key, now=NOON):
        return simulated_gateway_answer(book, Charge(key, "o", 5, "EUR", method), now, 10)

    assert hear("tok_ok", "k-1") == (Captured("cap_k-1", 5, NOON), 0.0)
    assert hear("tok_slow:9.5", "k-2") == (Captured("cap_k-2", 5, NOON), 9.5)
    assert hear("tok_slow:10.5", "k-3") == (None, 10)
    assert hear("tok_late:0", "k-4") == (None, 10)
    assert hear("tok_late:30", "k-5") == (None, 10)
    assert hear("tok_twice", "k-6") == (Captured("cap_k-6", 5, NOON), 0.0)
    assert [report.reference for report in book.drain().reports] == ["cap2_k-6"]
    assert book.next_due() == NOON
    make_due_captures(book, NOON + timedelta(seconds=30))
    assert [report.reference for report in book.drain().reports] == ["cap_k-4", "cap_k-5"]
    assert book.next_due() is None
    assert simulated_gateway_answer(book, Ask("k-5"), NOON, 10) == (
        Captured("cap_k-5", 5, NOON + timedelta(seconds=30)),
        0.0,
    )
