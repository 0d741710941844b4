"""The gateway simulator's book: the calls it books, what it keeps of them, and what has changed.

The in-memory simulator and the simulation of the whole system keep one book for all; the durable one fills a book
with the rows that its calls touch and writes back what changed. All run the same `rules` over it, and so give the
same answers. References are made of keys, never of chance: what happens twice has the same name twice.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from services.payment.gateway import CaptureReported, Charged, Found, GivenBack, Known


class Charge(Struct, frozen=True):
    """A call: take money."""

    key: str
    order_id: str
    amount: int
    currency: str
    method: str


class Ask(Struct, frozen=True):
    """A call: what became of a charge?"""

    key: str


class Refund(Struct, frozen=True):
    """A call: give money of a capture back."""

    key: str
    capture: str
    amount: int
    reason: str


class LookUp(Struct, frozen=True):
    """A call: whose capture is this?"""

    reference: str


Call = Charge | Ask | Refund | LookUp


class Reply(Struct, frozen=True):
    """What a charge comes to. The caller is told `delay_s` after the call; never, where there is no answer."""

    answer: Charged | None
    delay_s: float = 0.0

    def told(self, timeout_s: float) -> tuple[Charged | None, float]:
        """What a caller with that much patience hears (None: it timed out), and after how many seconds."""
        if self.answer is None or self.delay_s > timeout_s:
            return None, timeout_s
        return self.answer, self.delay_s


Answer = Reply | Known | GivenBack | Found


class Intent(Struct, frozen=True):
    """A charge that was booked; `declined` is the code of a refusal."""

    charge: Charge
    declined: str | None
    at: datetime


class Capture(Struct, frozen=True):
    """Money taken."""

    reference: str
    key: str
    order_id: str
    amount: int
    currency: str
    at: datetime


class PendingCapture(Struct, frozen=True):
    """Money that will be taken at a time, whoever may have given up on it."""

    key: str
    due_at: datetime


class BookedRefund(Struct, frozen=True):
    """Money given back, of a capture and so of an order."""

    refund: Refund
    reference: str
    order_id: str
    currency: str
    at: datetime


class RefusedRefund(Struct, frozen=True):
    """A refund that was refused, kept so that its key gets the same answer again."""

    refund: Refund
    code: str
    at: datetime


class Changes(Struct):
    """What calls wrote into a book since it was last drained; `made` are the keys of pending captures that came due."""

    intents: list[Intent] = field(default_factory=list)
    captures: list[Capture] = field(default_factory=list)
    pending: list[PendingCapture] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    refunds: list[BookedRefund] = field(default_factory=list)
    refused: list[RefusedRefund] = field(default_factory=list)
    reports: list[CaptureReported] = field(default_factory=list)


class Book:
    """What the gateway knows: written by the rules only, read by anybody."""

    def __init__(self) -> None:
        self.intents: dict[str, Intent] = {}
        self.captures: dict[str, Capture] = {}
        self.pending: dict[str, PendingCapture] = {}
        self.refunds: dict[str, BookedRefund] = {}
        self.refused: dict[str, RefusedRefund] = {}
        self._refunded: dict[str, int] = {}
        self._changes = Changes()

    def drain(self) -> Changes:
        """What was written since the last time: rows to keep, and reports to send as webhooks."""
        changes, self._changes = self._changes, Changes()
        return changes

    def next_due(self) -> datetime | None:
        """When the next pending capture is due."""
        return min((pending.due_at for pending in self.pending.values()), default=None)

    def refunded(self, reference: str) -> int:
        """How much of a capture went back."""
        return self._refunded.get(reference, 0)

    def remember(self, *entries: Intent | Capture | PendingCapture | BookedRefund | RefusedRefund) -> None:
        """Takes in what was written before, in another life."""
        for entry in entries:
            match entry:
                case Intent():
                    self.intents[entry.charge.key] = entry
                case Capture():
                    self.captures[entry.reference] = entry
                case PendingCapture():
                    self.pending[entry.key] = entry
                case BookedRefund():
                    if entry.refund.key not in self.refunds:
                        self.refunds[entry.refund.key] = entry
                        self._refunded[entry.refund.capture] = self.refunded(entry.refund.capture) + entry.refund.amount
                case RefusedRefund():
                    self.refused[entry.refund.key] = entry

    def write_intent(self, intent: Intent) -> None:
        self.intents[intent.charge.key] = intent
        self._changes.intents.append(intent)

    def write_capture(self, charge: Charge, nth: int, at: datetime) -> Capture:
        reference = capture_reference(charge.key, nth)
        capture = Capture(reference, charge.key, charge.order_id, charge.amount, charge.currency, at)
        self.captures[reference] = capture
        self._changes.captures.append(capture)
        return capture

    def write_pending(self, pending: PendingCapture) -> None:
        self.pending[pending.key] = pending
        self._changes.pending.append(pending)

    def make(self, pending: PendingCapture) -> None:
        del self.pending[pending.key]
        self._changes.made.append(pending.key)
        self.report(self.write_capture(self.intents[pending.key].charge, 1, pending.due_at))

    def write_refund(self, refund: BookedRefund) -> None:
        self.remember(refund)
        self._changes.refunds.append(refund)

    def write_refused(self, refused: RefusedRefund) -> None:
        self.remember(refused)
        self._changes.refused.append(refused)

    def report(self, capture: Capture) -> None:
        self._changes.reports.append(as_reported(capture))


def as_reported(capture: Capture) -> CaptureReported:
    """A capture as webhooks and answers tell of it."""
    return CaptureReported(capture.reference, capture.order_id, capture.key, capture.amount, capture.at)


def capture_reference(key: str, nth: int = 1) -> str:
    """The gateway's name for the nth capture under a key. The number stands in front, where no key can forge it."""
    return f"cap_{key}" if nth == 1 else f"cap{nth}_{key}"


def refund_reference(key: str) -> str:
    """The gateway's name for a refund."""
    return f"ref_{key}"
