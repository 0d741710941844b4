"""Publication: whatever fails, each link arrives whole and in order, and only what arrived counts as acknowledged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from types import SimpleNamespace

import pytest

from shared.runtime import publisher as module
from shared.runtime.commit import OutboxRow
from shared.runtime.publisher import LINK_ROWS_MAX, Publisher
from tests.runtime.fake_producer import FakeProducer, Send
from tests.runtime.ground import until

Start = Callable[[FakeProducer], Publisher]


def rows(count: int, each: int = 1, topic: str = "sky.commands", partition: int = 0) -> list[OutboxRow]:
    """Rows of so many records, numbered from 1 on."""
    found = []
    for n in range(count):
        first = n * each + 1
        payloads = [(b"k", "Rained", b"k", b"v%d" % link, b"") for link in range(first, first + each)]
        found.append(
            OutboxRow(topic, partition, "toy/0", "2026-11-22T19:00:00+00:00", first, first + each - 1, payloads)
        )
    return found


def numbers(count: int) -> list[int]:
    """1 to count."""
    return list(range(1, count + 1))


class Acks:
    """What was acknowledged, checked against what the broker has."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.producer: FakeProducer

    def __call__(self, link: str, last: int) -> None:
        assert last > self.last.get(link, 0), "acknowledgements go forward"
        assert set(numbers(last)) <= set(self.producer.links(link)), "acknowledged, but not there"
        self.last[link] = last


@pytest.fixture
def acks() -> Acks:
    """Listens to the publisher."""
    return Acks()


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch, acks: Acks) -> AsyncIterator[Start]:
    """Starts a publisher that does not rest between two tries, and ends it with the test."""
    monkeypatch.setattr(module, "RETRY_S", 0)
    started = []

    def begin(producer: FakeProducer) -> Publisher:
        acks.producer = producer
        publisher = Publisher(producer)
        started.append(publisher)
        return publisher

    yield begin
    for publisher in started:
        await publisher.close(0)


async def test_rows_arrive_in_order_and_once_when_nothing_fails(start: Start, acks: Acks) -> None:
    """The calm case: no repeats."""
    producer = FakeProducer()
    publisher = start(producer)
    publisher.put(rows(50, each=3), acks)
    assert (publisher.waiting, publisher.waiting_messages) == (50, 150)
    await until(lambda: publisher.waiting == 0)
    assert publisher.waiting_messages == 0
    assert producer.links("sky.commands/0") == numbers(150)
    assert acks.last == {"sky.commands/0": 150}


@pytest.mark.parametrize("trouble", [Send.IS_LOST, Send.ANSWER_IS_LOST, Send.IS_REFUSED])
@pytest.mark.parametrize("nth", [0, 1, 2, 4])
async def test_goes_back_to_the_first_row_not_acknowledged(start: Start, acks: Acks, trouble: Send, nth: int) -> None:
    """Five batches are on their way and one fails: all from the first row on are sent again."""
    producer = FakeProducer(lambda n: trouble if n == nth else Send.ARRIVES, room=2)
    publisher = start(producer)
    publisher.put(rows(10), acks)
    await until(lambda: publisher.waiting == 0)
    assert producer.heard("sky.commands/0") == numbers(10)
    assert producer.links("sky.commands/0")[-10:] == numbers(10)
    assert acks.last == {"sky.commands/0": 10}


@pytest.mark.parametrize("seed", range(30))
async def test_nothing_is_lost_whatever_fails(start: Start, acks: Acks, seed: int) -> None:
    """Batches fail in all ways at random, while more rows come: what a receiver takes is the link, whole, in order."""
    dice = random.Random(seed)
    troubles = [Send.ARRIVES, Send.ARRIVES, Send.IS_LOST, Send.ANSWER_IS_LOST, Send.IS_REFUSED]
    producer = FakeProducer(lambda n: dice.choice(troubles) if n < 40 else Send.ARRIVES, room=dice.randint(1, 7))
    publisher = start(producer)
    ahead = rows(30, each=3)
    while ahead:
        size = dice.randint(1, 6)
        publisher.put(ahead[:size], acks)
        ahead = ahead[size:]
        for _ in range(dice.randint(0, 5)):
            await asyncio.sleep(0)
    await until(lambda: publisher.waiting == 0)
    assert producer.heard("sky.commands/0") == numbers(90)
    assert acks.last == {"sky.commands/0": 90}


async def test_a_failing_link_does_not_hold_up_another(start: Start, acks: Acks) -> None:
    """Each partition is on its own."""

    class OneDown(FakeProducer):
        async def send_batch(self, batch: object, topic: str, *, partition: int) -> asyncio.Future[None]:
            self.fate = lambda n: Send.IS_REFUSED if partition == 1 and self.held_back else Send.ARRIVES
            return await super().send_batch(batch, topic, partition=partition)  # type: ignore[arg-type]

        held_back = True

    producer = OneDown()
    publisher = start(producer)
    publisher.put([*rows(3, partition=1), *rows(3, partition=0)], acks)
    await until(lambda: acks.last == {"sky.commands/0": 3})
    producer.held_back = False
    await until(lambda: publisher.waiting == 0)
    assert producer.links("sky.commands/1") == numbers(3)


async def test_nothing_is_acknowledged_before_the_broker_says_so(start: Start, acks: Acks) -> None:
    """Sent is not arrived."""
    producer = FakeProducer()
    producer.held = True
    publisher = start(producer)
    publisher.put(rows(3), acks)
    await until(lambda: producer.sends == 1)
    assert (publisher.waiting, acks.last) == (3, {})
    producer.release()
    await until(lambda: publisher.waiting == 0)
    assert acks.last == {"sky.commands/0": 3}


async def test_a_full_link_makes_the_worker_wait(start: Start, acks: Acks) -> None:
    """A slow broker bounds what a worker keeps in memory."""
    producer = FakeProducer()
    producer.held = True
    publisher = start(producer)
    publisher.put(rows(LINK_ROWS_MAX - 1), acks)
    await publisher.room()
    publisher.put(rows(LINK_ROWS_MAX)[-1:], acks)
    waiting = asyncio.create_task(publisher.room())
    await until(lambda: producer.sends == 1)
    assert not waiting.done()
    producer.release()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("count", [1, LINK_ROWS_MAX])
async def test_a_mistake_of_ours_ends_the_worker_and_does_not_hang_it(start: Start, acks: Acks, count: int) -> None:
    """What no repetition mends is raised where the worker looks, also when the link was full."""
    producer = FakeProducer(lambda n: Send.BREAKS)
    publisher = start(producer)
    publisher.put(rows(count), acks)
    await until(lambda: publisher._failed is not None)
    await asyncio.wait_for(publisher.room(), 1)
    with pytest.raises(TypeError, match="a mistake of ours"):
        publisher.check()


async def test_closing_gives_what_is_on_its_way_a_moment(start: Start, acks: Acks) -> None:
    """A worker that stops in peace leaves nothing for the next one to repeat."""
    producer = FakeProducer()
    publisher = start(producer)
    publisher.put(rows(5), acks)
    await publisher.close(5)
    assert acks.last == {"sky.commands/0": 5}


async def test_closing_does_not_wait_for_a_broker_that_is_gone(start: Start, acks: Acks) -> None:
    """The next owner of the shard publishes what is left, from the outbox."""
    producer = FakeProducer(lambda n: Send.IS_REFUSED)
    publisher = start(producer)
    publisher.put(rows(5), acks)
    await asyncio.wait_for(publisher.close(0.02), 5)
    assert acks.last == {}


def test_rows_of_these_tests_are_numbered_like_the_real_ones() -> None:
    """First to last, without a gap between rows."""
    made = rows(3, each=2)
    links: Iterable[int] = [int(dict(headers)["link"]) for row in made for _, _, headers in row.records]
    assert list(links) == numbers(6)
    assert [(r.first_link, r.last_link) for r in made] == [(1, 2), (3, 4), (5, 6)]


async def test_how_long_nothing_was_acknowledged_counts_from_the_last_acknowledgement(
    start: Start, acks: Acks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy link always has rows that wait; what tells is that none of them gets on."""
    now_s = 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now_s))
    producer = FakeProducer()
    publisher = start(producer)
    assert publisher.waiting_s == 0
    producer.held = True
    publisher.put(rows(1), acks)
    await until(lambda: producer.sends == 1)
    now_s += 7
    publisher.put(rows(2)[1:], acks)
    assert publisher.waiting_s == 7
    producer.release()
    producer.held = True
    await until(lambda: producer.sends == 2)
    now_s += 3
    assert publisher.waiting_s == 3
    producer.release()
    await until(lambda: publisher.waiting == 0)
    assert publisher.waiting_s == 0
    now_s += 60
    publisher.put(rows(3)[2:], acks)
    assert publisher.waiting_s == 0
