"""The gateway simulator's book in PostgreSQL: many calls in a transaction, crashes, other processes, a lost line."""

import asyncio
import contextlib
import random
import signal
import sys
from datetime import datetime

import pytest

from larder.stack.process import wait_until
from services.payment.gateway import (
    Captured,
    CaptureReported,
    GatewayTimeout,
    GatewayUnavailable,
    KeyReused,
    Refunded,
    RefundRefused,
)
from services.payment.simulator import webhook
from services.payment.simulator.book import Ask, Book, Call, Charge, LookUp, Refund, Reply
from services.payment.simulator.postgres import PostgresBookkeeper
from services.payment.simulator.rules import answer_call, make_due_captures
from tests.payment.controls import PATIENCE_S, Inbox, StandingClock, over

pytestmark = pytest.mark.parts

WAITING = """
select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')
"""
DROP_THE_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()
"""


METHODS = (
    *("tok_ok", "tok_ok", "tok_declined", "tok_slow:20", "tok_late:15", "tok_late:0", "tok_twice", "tok_no_refund"),
    "what",
)


def some_call(chance: random.Random) -> Call:
    """A call with one of few keys, so that they meet: repeats, reuse, refunds of what is there and of what is not."""
    number = chance.randrange(25)
    key = f"k{number}"
    match chance.randrange(5):
        case 0 | 1:
            amount = chance.choice([100, 100, 100, 90, 0])
            return Charge(key, f"o-{key}", amount, "EUR", METHODS[number % len(METHODS)])
        case 2:
            return Ask(key)
        case 3:
            return LookUp(chance.choice(["cap_", "cap2_"]) + key)
        case _:
            reference = chance.choice(["cap_", "cap2_"]) + key
            return Refund(f"r{chance.randrange(40)}", reference, chance.choice([40, 60, 100]), "seeded")


def told(answer: object) -> object:
    """What a caller with ten seconds of patience hears."""
    if isinstance(answer, KeyReused):
        return "reused"
    return answer.told(10) if isinstance(answer, Reply) else answer


def ruled(book: Book, call: Call, now: datetime) -> object:
    """What a caller hears by the rules alone."""
    try:
        return told(answer_call(book, call, now))
    except KeyReused as reused:
        return told(reused)


@pytest.mark.parametrize("seed", range(6))
async def test_the_durable_book_answers_like_the_rules_whatever_the_batches(book_dsn, rows, seed):
    """Calls one by one over a book in memory, and in batches of any size in PostgreSQL: same answers, same rows."""
    chance = random.Random(seed)
    calls = [some_call(chance) for _ in range(120)]
    clock = StandingClock()
    book = Book()
    keeper = PostgresBookkeeper(book_dsn, clock=clock, gather_s=0.001)
    reports = []
    await keeper.start()
    while calls:
        size = chance.choice([1, 2, 5, 30])
        batch, calls = calls[:size], calls[size:]
        # A batch books its charges before the rest, as calls made at the same moment may be.
        batch.sort(key=lambda call: not isinstance(call, Charge))
        expected = [ruled(book, call, clock()) for call in batch]
        answers = await asyncio.gather(*(keeper.book(call, PATIENCE_S) for call in batch), return_exceptions=True)
        assert [told(answer) for answer in answers] == expected
        clock.pass_by(chance.choice([0, 1, 7]))
        if chance.random() < 0.3:
            make_due_captures(book, clock.now)
            await keeper.make_due_captures()
        reports += book.drain().reports
    sent = await keeper.due_notices(1000)
    assert await keeper.next_due() is not None
    await keeper.stop()
    assert {notice.id for notice in sent} == {webhook.notice_id(report) for report in reports}
    assert {r["reference"]: r["amount"] for r in await rows.fetch("select * from captures")} == {
        capture.reference: capture.amount for capture in book.captures.values()
    }
    assert {r["key"]: (r["order_id"], r["amount"]) for r in await rows.fetch("select * from refunds")} == {
        key: (booked.order_id, booked.refund.amount) for key, booked in book.refunds.items()
    }
    assert {r["key"] for r in await rows.fetch("select * from pending_captures")} == set(book.pending)


async def test_calls_at_the_same_moment_are_booked_together(book_dsn, rows):
    """Five hundred charges take a handful of transactions, and each gets its own answer."""
    async with over(PostgresBookkeeper(book_dsn), timeout_s=PATIENCE_S) as gateway:
        calls = [gateway.charge(f"k-{n}", f"o-{n}", n + 1, "EUR", "tok_ok") for n in range(500)]
        answers = await asyncio.gather(*calls)
    assert [getattr(answer, "amount", None) for answer in answers] == list(range(1, 501))
    assert await rows.fetchval("select count(distinct xmin::text) from captures") <= 5


async def test_the_money_of_an_order_can_be_summed(book_dsn, rows):
    """The auditor reads captured and refunded per order from one view."""
    async with over(PostgresBookkeeper(book_dsn)) as gateway:
        await gateway.charge("k-1", "o-1", 100, "EUR", "tok_twice")
        await gateway.charge("k-2", "o-2", 70, "EUR", "tok_ok")
        await gateway.charge("k-3", "o-3", 70, "EUR", "tok_declined")
        await gateway.refund("r-1", "cap2_k-1", 30, "twice")
    money = await rows.fetch("select order_id, captured, refunded from money_by_order order by order_id")
    assert [tuple(row) for row in money] == [("o-1", 200, 30), ("o-2", 70, 0)]


CRASH = """
import asyncio, os, signal, sys
from services.payment.gateway import GatewayTimeout
from services.payment.simulator.front import GatewaySimulator

async def main():
    gateway = GatewaySimulator.durable(sys.argv[1], timeout_s=0.5, secret=b"s", webhook_url="http://127.0.0.1:1/")
    await gateway.start()
    try:
        await gateway.charge("k", "o-1", 700, "EUR", "tok_late:1.5")
    except GatewayTimeout:
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_late_money_survives_a_crash(book_dsn, rows):
    """Killed between the call and the capture: who starts next takes the money at its time and tells of it."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CRASH, book_dsn)
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == -signal.SIGKILL
    due_at = await rows.fetchval("select due_at from pending_captures where key = 'k'")
    inbox = Inbox()
    async with over(PostgresBookkeeper(book_dsn), inbox):
        report = await inbox.next()
    assert report == CaptureReported("cap_k", "o-1", "k", 700, due_at)


async def test_two_processes_with_one_book_take_the_money_once(book_dsn, rows):
    """A zombie that charges with the same keys gets the same answers, and no webhook is lost between the two."""
    keys = [f"k-{n}" for n in range(100)]
    async with (
        over(PostgresBookkeeper(book_dsn), timeout_s=9) as one,
        over(PostgresBookkeeper(book_dsn), timeout_s=9) as two,
    ):
        backwards = [two.charge(key, key, 5, "EUR", "tok_ok") for key in reversed(keys)]
        answers = await asyncio.gather(*(one.charge(key, key, 5, "EUR", "tok_ok") for key in keys), *backwards)
    assert answers[:100] == answers[:99:-1]
    assert await rows.fetchval("select sum(amount) from captures") == 500


async def test_two_processes_never_refund_more_than_was_taken(book_dsn, rows):
    """The capture's row is locked while what is left of it is reckoned."""
    async with (
        over(PostgresBookkeeper(book_dsn), timeout_s=9) as one,
        over(PostgresBookkeeper(book_dsn), timeout_s=9) as two,
    ):
        await one.charge("k", "o", 100, "EUR", "tok_ok")
        same = [side.refund("r", "cap_k", 10, "same key") for side in (one, two)]
        others = [side.refund(f"r-{n}-{i}", "cap_k", 30, "part") for n in range(5) for i, side in enumerate((one, two))]
        given = await asyncio.gather(*same, *others)
    assert given[0] == given[1]
    assert sum(isinstance(answer, Refunded) for answer in given[2:]) == 3
    assert await rows.fetchval("select sum(amount) from refunds") == 100


async def test_a_refund_waits_for_one_under_way_elsewhere(book_dsn, rows):
    """What another process is giving back of the same capture counts, as soon as it is committed."""
    async with over(PostgresBookkeeper(book_dsn), timeout_s=PATIENCE_S) as gateway:
        await gateway.charge("k", "o", 100, "EUR", "tok_ok")
        async with rows.transaction():
            await rows.execute("select from captures where reference = 'cap_k' for update")
            await rows.execute(
                "insert into refunds (key, reference, capture, order_id, amount, currency, reason, at) "
                "values ('r-1', 'ref_r-1', 'cap_k', 'o', 80, 'EUR', 'elsewhere', now())"
            )
            refund = asyncio.create_task(gateway.refund("r-2", "cap_k", 50, "here"))

            async def waits():
                return refund.done() or await rows.fetchval(WAITING)

            await wait_until(waits, PATIENCE_S, "the refund to wait for the lock")
        assert await refund == RefundRefused("exceeds_capture")


async def test_a_book_that_does_not_answer_makes_the_call_time_out(book_dsn, rows):
    """The call was sent, so nobody can say; asked later, in the order of the calls, the gateway knows."""
    async with over(PostgresBookkeeper(book_dsn), timeout_s=0.1) as gateway:
        async with rows.transaction():
            await rows.execute("lock table intents in exclusive mode")
            with pytest.raises(GatewayTimeout):
                await gateway.charge("k", "o", 5, "EUR", "tok_ok")
            with pytest.raises(GatewayUnavailable):
                await gateway.ask("k")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(GatewayUnavailable):
                    assert isinstance(await gateway.ask("k"), Captured)
                    break


async def test_a_broken_line_is_no_answer_and_heals(book_dsn, rows):
    """When the database drops us, calls fail as ones that can be repeated, and the next connection serves them."""
    async with over(PostgresBookkeeper(book_dsn), timeout_s=PATIENCE_S) as gateway:
        for n in range(5):
            await rows.execute(DROP_THE_OTHERS)
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    with contextlib.suppress(GatewayUnavailable):
                        assert isinstance(await gateway.charge(f"k-{n}", "o", 5, "EUR", "tok_ok"), Captured)
                        break
    assert await rows.fetchval("select count(*) from captures") == 5


async def test_more_calls_than_may_wait_are_turned_away(book_dsn, rows):
    """The queue has a bound: who comes when it is full may try again later, and nothing of the call was booked."""
    async with over(PostgresBookkeeper(book_dsn, calls_waiting_max=3), timeout_s=PATIENCE_S) as gateway:
        calls = [gateway.charge(f"k-{n}", "o", 5, "EUR", "tok_ok") for n in range(5)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Captured] * 3 + [GatewayUnavailable] * 2
    assert await rows.fetchval("select count(*) from intents") == 3


async def test_what_waits_is_booked_before_the_end(book_dsn, rows):
    """Stopping answers the calls that came before; later ones are told that nobody is there."""
    gateway = over(PostgresBookkeeper(book_dsn), timeout_s=PATIENCE_S)
    await gateway.start()
    call = asyncio.create_task(gateway.charge("k", "o", 5, "EUR", "tok_ok"))
    await asyncio.sleep(0)
    await gateway.stop()
    assert isinstance(await call, Captured)
    with pytest.raises(GatewayUnavailable):
        await gateway.charge("k-2", "o", 5, "EUR", "tok_ok")
