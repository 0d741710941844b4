"""Flash sales: the stores are told until when one is on, since they keep its pieces."""

from __future__ import annotations

from collections.abc import Iterable

from services.order.state import Order, SaleFact
from shared.contracts import inventory
from shared.contracts import order as ordering
from shared.runtime.decider import Context, Look
from shared.runtime.table import IGNORED, Ignored, Key, Moved


def needs_of_sale(m: ordering.TellSale) -> Iterable[Key]:
    """The promotion as it is written now."""
    return [("sale", m.promotion)]


def tell_sale(m: ordering.TellSale, look: Look, c: Context) -> Moved | Ignored:
    """Every store that it is for gets the end of it; one that it is for no more, that it ends now."""
    sale: SaleFact | None = look(("sale", m.promotion))
    if sale is None:
        return IGNORED
    ends = [*((store, sale.ends_at) for store in sale.stores), *((store, c.now) for store in sale.left)]
    return Moved((), [inventory.AnnounceSale(store=store, promotion=m.promotion, ends_at=at) for store, at in ends])


def on_sale(order: Order) -> inventory.OnSale | None:
    """The order's lines at the price of a flash sale; None when there are none."""
    lines = [
        (spu, one.promotion)
        for one in order.discounts.applied
        if one.kind == "flash"
        for spu, off in zip(order.spus, one.discounts, strict=True)
        if off
    ]
    return (
        inventory.OnSale(spus=tuple(spu for spu, _ in lines), promotions=tuple(p for _, p in lines)) if lines else None
    )
