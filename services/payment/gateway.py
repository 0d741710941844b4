"""The payment gateway as the payment service sees it: a port, so that another gateway is another adapter.

Theory of operation: an attempt to take money has a *key* that we make. The gateway remembers the key, so a call with
the same key is the same call: it gets the same answer and money moves once. A charge that got no answer is never
sent again; `ask` says what became of it. Money is recognised by the gateway's own *reference* of a capture. Captures
that nobody was told of are reported by signed webhooks, perhaps more than once; whose capture a reference is, only the
gateway knows, and `look_up` asks it.

Amounts are integer minor units; times are aware datetimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct


class Captured(Struct, frozen=True):
    """Money was taken; `reference` is the gateway's own name for it."""

    reference: str
    amount: int
    at: datetime


class Declined(Struct, frozen=True):
    """The gateway said no, for good under this key. `code` says why."""

    code: str


class NoMoney(Struct, frozen=True):
    """The gateway knows the key and holds no money for it (it may still take some, and then reports it)."""


class UnknownKey(Struct, frozen=True):
    """The gateway never booked a charge with this key: charging with the same key is safe."""


class Refunded(Struct, frozen=True):
    """`amount` of a capture went back; `reference` is the gateway's own name for the refund."""

    reference: str
    amount: int
    at: datetime


class RefundRefused(Struct, frozen=True):
    """Nothing went back. `code`: `unknown_capture`, `exceeds_capture`, `not_refundable`, `invalid_amount`."""

    code: str


class CaptureReported(Struct, frozen=True):
    """Money was taken under `key` for an order: a webhook's news, which may come late, twice, for money known, or be
    wrong; or what the gateway's own book says of a reference."""

    reference: str
    order_id: str
    key: str
    amount: int
    at: datetime


class UnknownReference(Struct, frozen=True):
    """The gateway knows no capture by this reference."""


Charged = Captured | Declined
Known = Captured | Declined | NoMoney | UnknownKey
GivenBack = Refunded | RefundRefused
Found = CaptureReported | UnknownReference


class GatewayError(Exception):
    """What the gateway did not do, with the key it was about."""


class GatewayTimeout(GatewayError):
    """No answer in time: the money may have moved. Never send this charge again; ask about its key."""


class GatewayUnavailable(GatewayError):
    """The gateway could not be reached, or the line broke. Calling again with the same key is safe."""


class KeyReused(GatewayError):
    """The key was used before for something else: a mistake of the caller, calling again does not help."""


class BadSignature(GatewayError):
    """A webhook that is not from the gateway, or is too old, or was tampered with."""


class UnreadableReport(GatewayError):
    """A webhook that the gateway signed, but that is not a capture report as we know it."""


class Gateway(Protocol):
    """What every gateway can do for us. Anything else that goes wrong with the arguments is a ValueError."""

    async def charge(self, key: str, order_id: str, amount: int, currency: str, method: str) -> Charged:
        """Takes money. Raises GatewayTimeout after `LARDER_GATEWAY_TIMEOUT_S`, GatewayUnavailable, KeyReused."""
        ...

    async def ask(self, key: str) -> Known:
        """What became of a charge; a capture stays a capture when it was refunded. Raises GatewayUnavailable."""
        ...

    async def refund(self, key: str, reference: str, amount: int, reason: str) -> GivenBack:
        """Gives back a part or all of a capture, never more than is left of it. `key` is the refund's own.

        Raises GatewayUnavailable, KeyReused.
        """
        ...

    async def look_up(self, reference: str) -> Found:
        """Whose capture a reference is. Raises GatewayUnavailable."""
        ...

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> CaptureReported:
        """Reads a webhook if the gateway signed it lately, else raises BadSignature (or UnreadableReport)."""
        ...
