"""What the stream application would tell risk of an account, a device, an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from services.risk.counting import happening, milliseconds
from shared.contracts.risk import AccountsActed, Activity, Conduct, Count, Earlier, ScreenOrder, SignalsTold
from tests.services.inside import Inside

ACCOUNT = "a-1"


async def tell(
    risk: Inside,
    counts: Mapping[str, int],
    subject: str = ACCOUNT,
    *,
    about: str = "account",
    ago_s: float = 0,
    earlier: Sequence[Earlier] = (),
) -> datetime:
    """Each of these signals happened so many times, the last time so many seconds ago; answers with when that was."""
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    at -= timedelta(microseconds=at.microsecond % 1000)
    told = tuple(
        Count(
            signal=signal,  # type: ignore[arg-type]
            happenings=tuple(happening(milliseconds(at) - n, f"o-{n}") for n in reversed(range(times))),
        )
        for signal, times in sorted(counts.items())
    )
    conduct = Conduct(about=about, subject=subject, at=datetime.now(UTC), counts=told, earlier=tuple(earlier))  # type: ignore[arg-type]
    assert await risk.hear(SignalsTold(shard=0, as_of=at, entries=(conduct,))) == []
    return at


async def verdict(risk: Inside, order_id: str, account: str = ACCOUNT, total: int = 649, **more: Any) -> str:
    """What is said of an order that is screened now."""
    (said,) = await risk.hear(ScreenOrder(order_id=order_id, account=account, total=total, **more))
    return said


async def ended(risk: Inside, order_id: str, deed: str, account: str = ACCOUNT, ago_s: float = 0) -> datetime:
    """What became of an order; answers with when that was."""
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    activity = Activity(account=account, order_id=order_id, deed=deed, at=at)  # type: ignore[arg-type]
    assert await risk.hear(AccountsActed(shard=0, entries=(activity,))) == []
    return at
