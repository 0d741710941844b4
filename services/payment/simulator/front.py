"""The built-in payment gateway: no company behind it, but a book of its own, so that a crash of ours proves something.

It answers calls as a gateway would, late or never where the method says so, and, once started, makes captures that
are due and tells of them by signed webhooks until somebody says 2xx. The rules are in `rules`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Self

import httpx

from services.payment.gateway import (
    Captured,
    CaptureReported,
    Charged,
    Declined,
    Found,
    GatewayTimeout,
    GatewayUnavailable,
    GivenBack,
    Known,
    NoMoney,
    Refunded,
    RefundRefused,
    UnknownKey,
    UnknownReference,
)
from services.payment.simulator import webhook
from services.payment.simulator.book import Ask, Charge, LookUp, Refund, Reply
from services.payment.simulator.bookkeeper import Bookkeeper, Clock, MemoryBookkeeper, Notice, utc_now
from services.payment.simulator.postgres import PostgresBookkeeper

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # else it writes a line for each webhook

BEAT_S = 0.1
"""Least time between two looks at what is due."""
LOOK_AGAIN_S = 30.0
"""Most time that the courier sleeps while something is pending: the machine's clock may have been put right."""
AFTER_ERROR_S = 1.0
NOTICES_AT_ONCE_MAX = 50
POST_TIMEOUT_S = 10.0
KEPT_AS_CONTRADICTION = 409
"""The receiver knows otherwise, and keeps the report for a person: sending it again would help nobody."""
TEXT_MAX = 500
"""Most characters of a key, an order id, a reference or a reason."""

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends a webhook (url, body, headers) and says with which HTTP status it was answered."""


class GatewaySimulator:
    """A `Gateway`. Takes calls between `start` and `stop`, or inside `async with`."""

    def __init__(
        self,
        keeper: Bookkeeper,
        *,
        timeout_s: float,
        secret: bytes,
        webhook_url: str,
        clock: Clock = utc_now,
        post: Post | None = None,
    ) -> None:
        self._keeper = keeper
        self._timeout_s = timeout_s
        self._secret = secret
        self._webhook_url = webhook_url
        self._clock = clock
        self._post = post
        self._client: httpx.AsyncClient | None = None
        self._courier: asyncio.Task[None] | None = None

    @classmethod
    def durable(cls, dsn: str, *, timeout_s: float, secret: bytes, webhook_url: str) -> Self:
        """The one of the running stack, with its book in a database."""
        return cls(PostgresBookkeeper(dsn), timeout_s=timeout_s, secret=secret, webhook_url=webhook_url)

    @classmethod
    def in_memory(cls, *, timeout_s: float, secret: bytes, webhook_url: str) -> Self:
        """The same answers, kept in this process only."""
        return cls(MemoryBookkeeper(), timeout_s=timeout_s, secret=secret, webhook_url=webhook_url)

    async def start(self) -> None:
        """Opens the book and takes up what was left undone there."""
        await self._keeper.start()
        if self._post is None:
            self._client = httpx.AsyncClient(timeout=POST_TIMEOUT_S, trust_env=False)
        self._courier = asyncio.create_task(self._do_what_is_due(), name="gateway simulator: webhooks")

    async def stop(self) -> None:
        """Ends the webhooks, books what waits, closes the book. What is pending stays so."""
        if self._courier is not None:
            self._courier.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._courier
            self._courier = None
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        await self._keeper.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def charge(self, key: str, order_id: str, amount: int, currency: str, method: str) -> Charged:
        """See `Gateway`. A call that the method lets time out waits the timeout, not the method's own time."""
        _check(key=key, order_id=order_id, currency=currency)
        loop = asyncio.get_running_loop()
        called_at = loop.time()
        reply = await self._keeper.book(Charge(key, order_id, amount, currency, method), self._timeout_s)
        assert isinstance(reply, Reply)
        answer, after_s = reply.told(self._timeout_s)
        if after_s:
            await asyncio.sleep(max(0.0, called_at + after_s - loop.time()))
        if answer is None:
            raise GatewayTimeout(
                f"charge {key} of order {order_id}: no answer within {self._timeout_s} s; ask about it"
            )
        return answer

    async def ask(self, key: str) -> Known:
        """See `Gateway`."""
        _check(key=key)
        try:
            known = await self._keeper.book(Ask(key), self._timeout_s)
        except GatewayTimeout as error:
            raise GatewayUnavailable(str(error)) from None  # asking moves no money: it can be done again
        assert isinstance(known, Captured | Declined | NoMoney | UnknownKey)
        return known

    async def refund(self, key: str, reference: str, amount: int, reason: str) -> GivenBack:
        """See `Gateway`."""
        _check(key=key, reference=reference, reason=reason)
        try:
            given = await self._keeper.book(Refund(key, reference, amount, reason), self._timeout_s)
        except GatewayTimeout as error:
            raise GatewayUnavailable(str(error)) from None  # the key keeps the money from going back twice
        assert isinstance(given, Refunded | RefundRefused)
        return given

    async def look_up(self, reference: str) -> Found:
        """See `Gateway`."""
        _check(reference=reference)
        try:
            found = await self._keeper.book(LookUp(reference), self._timeout_s)
        except GatewayTimeout as error:
            raise GatewayUnavailable(str(error)) from None  # looking moves no money
        assert isinstance(found, CaptureReported | UnknownReference)
        return found

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> CaptureReported:
        """See `Gateway`."""
        return webhook.read(self._secret, headers, body, self._clock())

    async def _do_what_is_due(self) -> None:
        """Makes captures and sends webhooks at their times; sleeps without asking while nothing is pending."""
        while True:
            self._keeper.news.clear()
            try:
                due_at = await self._keeper.next_due()
                if due_at is not None and due_at <= self._clock():
                    await self._keeper.make_due_captures()
                    await self._send_notices()
                    due_at = self._clock()
            except Exception as error:
                why = None if isinstance(error, GatewayUnavailable) else error
                log.warning("what is due at the gateway simulator must wait: %r", error, exc_info=why)
                due_at = self._clock()
                await asyncio.sleep(AFTER_ERROR_S)
            await self._sleep_until(due_at)

    async def _sleep_until(self, due_at: datetime | None) -> None:
        wait_s = None if due_at is None else (due_at - self._clock()).total_seconds() - BEAT_S
        if wait_s is None or wait_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s and min(wait_s, LOOK_AGAIN_S)):
                    await self._keeper.news.wait()
        await asyncio.sleep(BEAT_S)  # many bits of news are looked at together

    async def _send_notices(self) -> None:
        notices = await self._keeper.due_notices(NOTICES_AT_ONCE_MAX)
        taken = await asyncio.gather(*map(self._send, notices))
        await self._keeper.delivered([notice.id for notice, was_taken in zip(notices, taken, strict=True) if was_taken])

    async def _send(self, notice: Notice) -> bool:
        body = notice.body.encode()
        headers = webhook.signed_headers(self._secret, body, self._clock())
        try:
            status = await (self._post or self._post_http)(self._webhook_url, body, headers)
        except (OSError, httpx.HTTPError) as error:
            answer = repr(error)
        else:
            if 200 <= status < 300 or status == KEPT_AS_CONTRADICTION:
                return True
            answer = f"status {status}"
        level = logging.WARNING if notice.attempts in (3, 10) else logging.DEBUG  # a restart is no news
        log.log(level, "webhook %s, attempt %d to %s: %s", notice.id, notice.attempts, self._webhook_url, answer)
        return False

    async def _post_http(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        assert self._client is not None
        return (await self._client.post(url, content=body, headers=dict(headers))).status_code


def _check(**texts: str) -> None:
    """What a database would not take must not spoil the transaction of the calls that are booked with it."""
    for name, text in texts.items():
        if len(text) > TEXT_MAX or "\0" in text or not (text or name == "reason"):
            raise ValueError(f"{name} {text[:80]!r}: 1 to {TEXT_MAX} characters, none of them NUL")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} {text[:80]!r} is not Unicode text") from None
