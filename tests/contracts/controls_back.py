"""Canonical messages of the ways back; see `controls`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.contracts import aftersales, inventory, logistics, payment
from shared.contracts import order as ordering
from shared.contracts.base import Message

AT = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
_ORDER: dict[str, Any] = {"order_id": "o-7f3a"}
_IN_STORE: dict[str, Any] = {**_ORDER, "store": "s-mitte"}
_TICKET: dict[str, Any] = {**_ORDER, "ticket_id": "t-o-7f3a-1"}
_DOOR = ordering.Delivery(
    lat=52.520008, lon=13.404954, address="Grocer's Lane 7, 3rd floor", phone="+49 30 555", note="ring ü"
)
_RETURN: dict[str, Any] = {**_IN_STORE, "ticket_id": "t-o-7f3a-1"}
_SHORT: dict[str, Any] = {"spus": ("bread",), "missing": (1,)}
_CAME_BACK: dict[str, Any] = {
    "resellable_spus": ("milk-1l",),
    "resellable": (1,),
    "damaged_spus": ("bread",),
    "damaged": (1,),
    "missing_spus": ("milk-1l",),
    "missing": (1,),
}
_CHOSEN: dict[str, Any] = {"substitute_spus": ("rolls",), "substitutes": (1,), "instead_of": ("bread",)}
_PAPERS: dict[str, Any] = {
    "documents": (inventory.Paper(number="IR-o-7f3a", kind="issue_reversal", spus=("bread",), quantities=(1,)),)
}

CONTROLS_BACK: tuple[Message, ...] = (
    inventory.ReverseIssue(**_IN_STORE, short_spus=("bread",), short=(1,)),
    inventory.DropShort(**_IN_STORE, **_SHORT),
    inventory.SubstituteStock(**_IN_STORE, **_SHORT, substitute_spus=("rolls",), substitutes=(1,)),
    inventory.TakeBack(**_IN_STORE, **_CAME_BACK, reason="not_reachable"),
    inventory.TakeReturn(**_IN_STORE, **_CAME_BACK, reason="returned"),
    inventory.StockLost(**_ORDER, **_SHORT),
    inventory.IssueReversed(**_ORDER, **_PAPERS),
    inventory.ShortDropped(**_ORDER, **_PAPERS),
    inventory.StockSubstituted(**_ORDER, **_PAPERS),
    inventory.SubstituteShort(**_ORDER, spus=("rolls",), missing=(1,)),
    inventory.GoodsTakenBack(**_ORDER, **_PAPERS),
    payment.PaymentRefundRefused(
        **_ORDER,
        refund=1,
        amount=607,
        reference="cap-1",
        code="not_refundable",
        reason="goods_overdue",
        liable="courier",
    ),
    logistics.AmendFulfilment(**_IN_STORE, spus=("milk-1l",), quantities=(2,)),
    logistics.StopFulfilment(**_IN_STORE),
    logistics.InterceptDelivery(**_IN_STORE),
    logistics.ReportPicked(**_IN_STORE, **_SHORT),
    logistics.ReportUndeliverable(**_IN_STORE, reason="nobody at the door"),
    logistics.BringGoodsBack(**_IN_STORE),
    logistics.InspectGoods(**_IN_STORE, spus=("milk-1l", "bread"), quantities=(1, 1), resellable=(True, False)),
    logistics.PiecesShort(**_IN_STORE, **_SHORT),
    logistics.FulfilmentStopped(**_IN_STORE),
    logistics.StopMissed(**_IN_STORE),
    logistics.FulfilmentIntercepted(**_IN_STORE),
    logistics.InterceptMissed(**_IN_STORE),
    logistics.DeliveryFailed(**_IN_STORE, reason="nobody at the door"),
    logistics.GoodsInspected(**_IN_STORE, **_CAME_BACK),
    logistics.AnnounceReturn(**_RETURN, spus=("milk-1l", "bread"), quantities=(2, 1), delivery=_DOOR),
    logistics.CollectReturn(**_RETURN, courier="c-9"),
    logistics.BringReturn(**_RETURN),
    logistics.InspectReturn(**_RETURN, spus=("milk-1l", "bread"), quantities=(1, 1), resellable=(True, False)),
    logistics.ReturnAnnounced(**_RETURN, exchange=False),
    logistics.ReturnBrought(**_RETURN, exchange=False),
    logistics.ReturnInspected(**_RETURN, **_CAME_BACK, exchange=True),
    logistics.ReturnOverdue(**_RETURN, exchange=False, collected=True, spus=("milk-1l",), quantities=(2,)),
    aftersales.RaiseTicket(
        **_TICKET, account="a-12", store="s-mitte", kind="shortage", spus=("bread",), quantities=(1,), reason="short"
    ),
    aftersales.SettleTicket(**_TICKET, phase="resolved", note="dropped"),
    aftersales.ReopenCall(**_TICKET, note="substitute_out_of_stock"),
    aftersales.RecordCall(**_TICKET, outcome="substitute", **_CHOSEN),
    aftersales.RejectTicket(**_TICKET, reason="found in the van"),
    aftersales.RefundApproved(**_TICKET),
    aftersales.InterceptAsked(**_TICKET),
    aftersales.SubstituteChosen(**_TICKET, **_CHOSEN),
    aftersales.DropChosen(**_TICKET),
    aftersales.CancelChosen(**_TICKET),
)
