"""What the stream application would tell risk of an account, a device, an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from services.risk.counting import happening, milliseconds
from shared.contracts import risk
from tests.services.inside import Inside

ACCOUNT = "a-1"


async def tell(
    service: Inside,
    counts: Mapping[str, int],
    subject: str = ACCOUNT,
    *,
    about: str = "account",
    ago_s: float = 0,
    earlier: Sequence[risk.Earlier] = (),
) -> datetime:
    """Each of these signals happened so many times, the last time so many seconds ago; answers with when that was."""
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    at -= timedelta(microseconds=at.microsecond % 1000)
    told = tuple(
        risk.Count(
            signal=signal,  # type: ignore[arg-type]
            happenings=tuple(happening(milliseconds(at) - n, f"o-{n}") for n in reversed(range(times))),
        )
        for signal, times in sorted(counts.items())
    )
    conduct = risk.Conduct(about=about, subject=subject, at=datetime.now(UTC), counts=told, earlier=tuple(earlier))  # type: ignore[arg-type]
    assert await service.hear(risk.SignalsTold(shard=0, as_of=at, entries=(conduct,))) == []
    return at


async def verdict(service: Inside, order_id: str, account: str = ACCOUNT, total: int = 649, **more: Any) -> str:
    """What is said of an order that is screened now."""
    (said,) = await service.hear(risk.ScreenOrder(order_id=order_id, account=account, total=total, **more))
    return said


async def ended(service: Inside, order_id: str, deed: str, account: str = ACCOUNT, ago_s: float = 0) -> datetime:
    """What became of an order; answers with when that was."""
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    activity = risk.Activity(account=account, order_id=order_id, deed=deed, at=at)  # type: ignore[arg-type]
    assert await service.hear(risk.AccountsActed(shard=0, entries=(activity,))) == []
    return at
