"""What the order's page shows besides its state: papers, made of what other services tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.order import inner
from services.order.state import Order, Paper
from shared.contracts import aftersales, inventory, logistics, risk
from shared.runtime.decider import Context


def issue_paper(order: Order, m: inventory.StockDeducted, c: Context) -> Paper:
    """The sales issue, or the replacement issue."""
    kind = f"{order.kind}_issue"
    return _document(order, inventory.Paper(number=m.document, kind=kind, spus=m.spus, quantities=m.quantities), c)


def document_papers(order: Order, documents: Iterable[inventory.Paper], c: Context) -> list[Paper]:
    """The documents that one step of inventory wrote."""
    return [_document(order, document, c) for document in documents]


def _document(order: Order, document: inventory.Paper, c: Context) -> Paper:
    lines = [{"spu": s, "quantity": q} for s, q in zip(document.spus, document.quantities, strict=True)]
    return Paper(order.order_id, "document", c.now, {"number": document.number, "kind": document.kind, "lines": lines})


def screening_papers(order: Order, m: risk.Verdict, c: Context) -> tuple[Paper, ...]:
    """What risk said of the order, for people who work here; that nothing spoke against it needs no paper."""
    if not m.reason:
        return ()
    body = {"verdict": VERDICTS[type(m)], "reason": m.reason, "rules": m.rules}
    return (Paper(order.order_id, "screening", c.now, body),)


VERDICTS: dict[type[risk.Verdict], str] = {
    risk.OrderCleared: "clear",
    risk.OrderRestricted: "restrict",
    risk.OrderReferred: "refer",
    risk.OrderRefused: "refuse",
}


def short_paper(
    order: Order, m: inventory.ShortStock | inner.FlashSoldOut | logistics.PiecesShort, c: Context
) -> Paper:
    """The lines that are short."""
    lines = [{"spu": s, "missing": q} for s, q in zip(m.spus, m.missing, strict=True)]
    return Paper(order.order_id, "short", c.now, {"lines": lines})


def ticket_paper(
    order: Order, m: aftersales.TicketOpened | aftersales.TicketMoved | aftersales.TicketEnded, c: Context
) -> Paper:
    """A ticket, as it stands now, and what happened to it last."""
    body: dict[str, Any] = {"ticket_id": m.ticket_id, "kind": m.kind, "phase": "open", "step": m.TYPE, "by": m.by}
    if isinstance(m, aftersales.TicketEnded):
        body |= {"phase": m.phase, "note": m.note}
    if isinstance(m, aftersales.TicketMoved):
        until = m.claimed_until and m.claimed_until.isoformat()
        body |= {"phase": m.phase, "note": m.note, "step": m.step, "claimed_by": m.claimed_by, "claimed_until": until}
    return Paper(order.order_id, "ticket", c.now, body)


def return_paper(order: Order, ticket_id: str, came: Mapping[str, int], c: Context) -> Paper:
    """Goods that the customer gave back."""
    lines = [{"spu": spu, "quantity": pieces} for spu, pieces in came.items()]
    return Paper(order.order_id, "returned", c.now, {"ticket_id": ticket_id, "lines": lines})


def compensation_paper(m: aftersales.GoodsRefunded, c: Context) -> Paper:
    """Money for goods, on the page of the order that they came with."""
    lines = [{"spu": s, "quantity": q} for s, q in zip(m.spus, m.quantities, strict=True)]
    body = {"ticket_id": m.ticket_id, "kind": m.kind, "amount": m.amount, "liable": m.liable, "lines": lines}
    return Paper(m.about, "compensated", c.now, body)
