"""Webhooks of the gateway simulator: what they tell, until when, and how they are signed and read."""

import asyncio
from datetime import datetime, timedelta

import pytest

from larder.stack.process import wait_until
from services.payment.gateway import (
    BadSignature,
    Captured,
    CaptureReported,
    GatewayTimeout,
    Refunded,
    UnreadableReport,
)
from services.payment.simulator import webhook
from services.payment.simulator.book import Charge
from services.payment.simulator.bookkeeper import retry_after
from services.payment.simulator.front import GatewaySimulator
from services.payment.simulator.webhook import webhook_secret
from tests.payment.controls import NOON, PATIENCE_S, SECRET, TIMEOUT_S, Inbox, over


async def test_tok_twice_tells_of_the_second_capture_by_webhook(keeper_of):
    """The call answers with the first; both can be refunded, each by its own reference."""
    inbox = Inbox()
    async with over(keeper_of(), inbox) as gateway:
        first = await gateway.charge("k", "o-1", 700, "EUR", "tok_twice")
        assert isinstance(first, Captured)
        assert first.reference == "cap_k"
        report = await inbox.next()
        assert report == CaptureReported("cap2_k", "o-1", "k", 700, first.at)
        assert isinstance(await gateway.refund("r-1", first.reference, 700, "twice"), Refunded)
        assert isinstance(await gateway.refund("r-2", report.reference, 700, "twice"), Refunded)


async def test_tok_late_takes_the_money_by_itself_and_tells(keeper_of):
    """Nobody has to ask: after its seconds the money is there and a webhook says so."""
    inbox = Inbox()
    async with over(keeper_of(), inbox, timeout_s=0.05) as gateway:
        with pytest.raises(GatewayTimeout):
            await gateway.charge("k", "o-1", 700, "EUR", "tok_late:0.2")
        report = await inbox.next()
        assert (report.reference, report.order_id, report.key, report.amount) == ("cap_k", "o-1", "k", 700)
        assert await gateway.ask("k") == Captured("cap_k", 700, report.at)


async def test_a_webhook_comes_again_until_it_is_taken(keeper_of):
    """Refused ones come again, the same; once taken it never comes again."""
    inbox = Inbox(refusals=2)
    keeper = keeper_of()
    async with over(keeper, inbox) as gateway:
        await gateway.charge("k", "o-1", 700, "EUR", "tok_twice")
        assert len({await inbox.next() for _ in range(3)}) == 1

        async def nothing_is_due():
            return await keeper.next_due() is None

        await wait_until(nothing_is_due, PATIENCE_S, "the webhook to be done with")
    assert inbox.got.empty()


async def test_a_webhook_that_contradicts_is_not_sent_again(keeper_of):
    """The receiver keeps it for a person: 409 is an answer for good."""
    keeper, sent = keeper_of(), []

    async def post(url, body, headers):
        sent.append(body)
        return 409

    gateway = GatewaySimulator(keeper, timeout_s=TIMEOUT_S, secret=SECRET, webhook_url="http://here", post=post)
    async with gateway:
        await gateway.charge("k", "o-1", 700, "EUR", "tok_twice")

        async def nothing_is_due():
            return bool(sent) and await keeper.next_due() is None

        await wait_until(nothing_is_due, PATIENCE_S, "the webhook to be done with")
    assert len(sent) == 1


async def test_a_webhook_is_due_until_it_was_taken(keeper_of, clock):
    """Tried, it is due again after its pause; taken, never again."""
    keeper = keeper_of(clock)
    await keeper.start()
    await keeper.book(Charge("k", "o-1", 700, "EUR", "tok_twice"), PATIENCE_S)
    assert [notice.attempts for notice in await keeper.due_notices(10)] == [1]
    assert await keeper.due_notices(10) == []
    assert await keeper.next_due() == NOON + retry_after(1)
    clock.pass_by(0.25)
    (notice,) = await keeper.due_notices(10)
    assert (notice.id, notice.attempts) == ("evt_cap2_k", 2)
    await keeper.delivered([notice.id])
    clock.pass_by(3600)
    assert await keeper.due_notices(10) == []
    assert await keeper.next_due() is None
    await keeper.stop()


async def test_nothing_is_looked_for_while_nothing_is_pending(keeper_of):
    """After the look at the start, charges that leave nothing to do cause none."""
    keeper = keeper_of()
    looks = []
    look = keeper.next_due

    async def counted():
        looks.append(1)
        return await look()

    keeper.next_due = counted
    async with over(keeper) as gateway:
        for n in range(5):
            await gateway.charge(f"k-{n}", "o", 5, "EUR", "tok_ok")
        assert isinstance(await gateway.charge("k", "o", 5, "EUR", "tok_slow:0.2"), Captured)
    assert len(looks) == 1


async def test_webhooks_come_over_http():
    """What is posted is what the payment service's endpoint needs: its path, the signature, the body."""
    got: asyncio.Future[tuple[str, dict[str, str], bytes]] = asyncio.get_running_loop().create_future()

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        got.set_result((head[0], headers, body))

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/gateway/webhook"
        async with GatewaySimulator.in_memory(timeout_s=TIMEOUT_S, secret=SECRET, webhook_url=url) as gateway:
            await gateway.charge("k", "o-1", 700, "EUR", "tok_twice")
            async with asyncio.timeout(PATIENCE_S):
                request, headers, body = await got
            assert request == "POST /gateway/webhook HTTP/1.1"
            assert gateway.read_webhook(headers, body).reference == "cap2_k"


def signed(body: bytes, at: datetime = NOON, secret: bytes = SECRET) -> dict[str, str]:
    return webhook.signed_headers(secret, body, at)


REPORT = CaptureReported("cap_k", "o-1", "k", 700, NOON)
BODY = webhook.write(REPORT).encode()


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_a_signed_webhook_is_read(seconds):
    """Clocks may differ by five minutes; the header's name may be written in any case."""
    headers = {name.upper(): value for name, value in signed(BODY, NOON + timedelta(seconds=seconds)).items()}
    assert webhook.read(SECRET, headers, BODY, NOON) == REPORT


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, BODY),
        (signed(BODY), BODY.replace(b"700", b"701")),
        (signed(BODY, secret=b"another"), BODY),
        (signed(BODY, NOON - timedelta(seconds=301)), BODY),
        (signed(BODY, NOON + timedelta(seconds=301)), BODY),
        ({"gateway-signature": signed(BODY)["gateway-signature"].replace("t=1", "t=2")}, BODY),
        ({"gateway-signature": ""}, BODY),
        ({"gateway-signature": "t=1772366400,v1=" + "é" * 64}, BODY),
        ({"gateway-signature": "t=\uff11,v1=" + "0" * 64}, BODY),
        ({"gateway-signature": f"t={'9' * 5000},v1={'0' * 64}"}, BODY),
    ],
)
def test_a_webhook_that_the_gateway_did_not_sign_lately_is_refused(headers, body):
    """Not signed, tampered with, signed by somebody else, too old, from the future, garbage."""
    with pytest.raises(BadSignature):
        webhook.read(SECRET, headers, body, NOON)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff\xfe", b"null", b"[]", b"{}", b'{"type": "capture.reported"}', b'{"type": "refund.failed"}'),
        b"[" * 100_000,
        *(BODY.replace(b"700", wrong) for wrong in (b'"700"', b"7.5", b"true", b"null")),
        *(BODY.replace(b"+00:00", wrong) for wrong in (b"", b"?")),
        BODY.replace(b'"o-1"', b"1"),
    ],
)
def test_a_signed_webhook_that_is_no_report_is_unreadable(body):
    """It is from the gateway, so it is told apart from a forged one."""
    with pytest.raises(UnreadableReport):
        webhook.read(SECRET, signed(body), body, NOON)


def test_the_webhook_secret_is_not_the_token_secret():
    """Who can sign webhooks cannot sign tokens; every process of the stack comes to the same one."""
    assert webhook_secret("a") == webhook_secret("a") != webhook_secret("b")
    assert b"a token secret" not in SECRET


def test_a_webhook_comes_again_less_and_less_often():
    """Soon at first, for a restart; at most every ten seconds, however long it takes."""
    assert [retry_after(n).total_seconds() for n in (1, 2, 3, 6, 7, 1000)] == [0.25, 0.5, 1, 8, 10, 10]
