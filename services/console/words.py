"""How the console says money, times and the names of things. All of it happens here, on the server; a page calculates
nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

from markupsafe import Markup

NO_MINOR_UNITS = frozenset({"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "XAF"})
"""Currencies without cents (ISO 4217)."""
THREE_MINOR_UNITS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})

DIGITS_MAX = 9
"""Most digits of a number that somebody types."""

TITLES = {
    "awaiting_payment": "waits for payment",
    "awaiting_picking": "waits for a picker",
    "awaiting_shipment": "packed, waits for a courier",
    "paying_cancel_wanted": "paying, to be cancelled",
    "deducting_cancel_wanted": "deducting, to be cancelled",
    "in_review": "in review",
    "in_delivery": "on the road",
    "queued": "to be picked",
    "handed_over": "on the road",
    "customer_service": "customer service",
    "risk_analyst": "risk analyst",
    "refund_only": "refund",
    "refund_failed": "refund that failed",
}


def word(name: object) -> str:
    """A phase, a kind, a role, a message, in words: `awaiting_picking`, `StockHeld`."""
    text = str(name)
    if text in TITLES:
        return TITLES[text]
    if text.isidentifier() and text[:1].isupper() and "_" not in text:
        text = "".join(f" {char.lower()}" if char.isupper() else char for char in text).strip()
        return text[:1].upper() + text[1:]
    return text.replace("_", " ").replace("-", " ")


def decimals(currency: str) -> int:
    """How many digits stand behind the point."""
    return 0 if currency in NO_MINOR_UNITS else 3 if currency in THREE_MINOR_UNITS else 2


def money(amount: int | None, currency: str) -> Markup:
    """An amount in minor units: `3.92 EUR`."""
    if amount is None:
        return Markup('<span class="muted">–</span>')
    return Markup('<span class="money">{} <abbr>{}</abbr></span>').format(plain_money(amount, currency), currency)


def plain_money(amount: int, currency: str) -> str:
    """The same as text, for a field that somebody types into."""
    return f"{Decimal(amount).scaleb(-decimals(currency)):.{decimals(currency)}f}"


def minor_units(text: str, currency: str) -> int:
    """What somebody typed, `3.92` or `3,92`, in minor units; ValueError when it is no amount."""
    places = decimals(currency)
    whole, _, part = text.strip().replace(",", ".").partition(".")
    if not (whole + part).isascii() or not (whole or part) or not (whole + part).isdecimal() or len(part) > places:
        raise ValueError(f"{text[:40]!r} is no amount of money in {currency}")
    return int(f"{whole or 0}{part:0<{places}}")


def instant(value: str | datetime | None) -> datetime | None:
    """An instant of a service's answer."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(value).astimezone(UTC)


def when(value: str | datetime | None, *, day: bool = False) -> Markup:
    """An instant: the time of day, the whole of it on hover."""
    at = instant(value)
    if at is None:
        return Markup('<span class="muted">–</span>')
    exact = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    is_far = day or abs(datetime.now(UTC) - at) > timedelta(hours=20)
    shown = at.strftime("%d %b %H:%M" if is_far else "%H:%M:%S")
    return Markup('<time datetime="{}" title="{}">{} <abbr>UTC</abbr></time>').format(exact, exact, shown)


def until(value: str | datetime | None) -> Markup:
    """A deadline: how long is left, counted down by the page from the server's own clock."""
    at = instant(value)
    if at is None:
        return Markup("")
    left_s = int((at - datetime.now(UTC)).total_seconds())
    kind = "late" if left_s < 0 else "soon" if left_s < 300 else "calm"
    return Markup('<span class="due {}" data-left="{}" title="{}">{}</span>').format(
        kind, left_s, at.strftime("%Y-%m-%dT%H:%M:%SZ"), lasting(left_s)
    )


def lasting(seconds: float) -> str:
    """`4 min 12 s`, `late by 3 min`."""
    late, total = seconds < 0, abs(int(seconds))
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    told = " ".join(f"{number} {unit}" for number, unit in parts if number)
    said = " ".join(told.split()[:4]) or "0 s"
    return f"late by {said}" if late else said


def segment(text: str) -> str:
    """An id as a part of an address. Dots alone would lead to another address."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def field_time(value: str | datetime | None) -> str:
    """An instant as a field for day and time holds it, in UTC."""
    at = instant(value)
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def typed_time(text: str) -> str:
    """What was typed into such a field, as the services take it; ValueError when it is no instant."""
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} is no day with a time, like 2026-11-28T08:00") from None


def seen(phase: str, refundable: int) -> str:
    """What somebody saw of an order when a form was shown: it is compared when the form comes back."""
    return f"{phase}/{refundable}"


def pieces(text: str, what: str = "number of pieces") -> int:
    """A number of pieces (or of something else) that somebody typed; ValueError when it is none."""
    typed = text.strip()
    if not (typed.isascii() and typed.isdecimal() and len(typed) <= DIGITS_MAX):
        raise ValueError(f"{typed[:40]!r} is no {what}")
    return int(typed)


def difference(text: str) -> int:
    """How many pieces more, or with a minus fewer; ValueError when it is no number."""
    typed = text.strip().replace("−", "-")
    return -pieces(typed[1:]) if typed.startswith("-") else pieces(typed.removeprefix("+"))


def listed(text: str) -> list[str]:
    """What somebody typed line by line."""
    return [line.strip() for line in text.splitlines() if line.strip()]
