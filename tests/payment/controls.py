"""Named things for tests of the gateway simulator: a secret, a clock that obeys, an inbox for webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.payment.gateway import CaptureReported
from services.payment.simulator import webhook
from services.payment.simulator.bookkeeper import Bookkeeper, Clock, utc_now
from services.payment.simulator.front import GatewaySimulator

SECRET = webhook.webhook_secret("a token secret")
TIMEOUT_S = 0.25
"""The gateway's timeout in tests."""
PATIENCE_S = 10.0
"""How long a test waits for what must come."""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class StandingClock:
    """A clock that goes on only when told to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Time goes on."""
        self.now += timedelta(seconds=seconds)


@dataclass
class Inbox:
    """Where webhooks arrive: refuses the first `refusals` of them, takes the rest."""

    refusals: int = 0
    got: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """What the simulator calls to send."""
        self.got.put_nowait((dict(headers), body))
        self.refusals -= 1
        return 503 if self.refusals >= 0 else 204

    async def next(self) -> CaptureReported:
        """The next webhook, read as the payment service reads it."""
        async with asyncio.timeout(PATIENCE_S):
            headers, body = await self.got.get()
        return webhook.read(SECRET, headers, body, datetime.now(UTC))


def over(
    keeper: Bookkeeper, inbox: Inbox | None = None, *, timeout_s: float = TIMEOUT_S, clock: Clock = utc_now
) -> GatewaySimulator:
    """A simulator over a book."""
    return GatewaySimulator(
        keeper,
        timeout_s=timeout_s,
        secret=SECRET,
        webhook_url="http://here/gateway/webhook",
        clock=clock,
        post=(inbox or Inbox()).post,
    )
