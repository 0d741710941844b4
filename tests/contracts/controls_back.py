"""Canonical messages of the ways back; see `controls`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.contracts.aftersales import (
    CancelChosen,
    DropChosen,
    InterceptAsked,
    RaiseTicket,
    RecordCall,
    RefundApproved,
    RejectTicket,
    ReopenCall,
    SettleTicket,
    SubstituteChosen,
)
from shared.contracts.base import Message
from shared.contracts.inventory import (
    DropShort,
    GoodsTakenBack,
    IssueReversed,
    Paper,
    ReverseIssue,
    ShortDropped,
    StockLost,
    StockSubstituted,
    SubstituteShort,
    SubstituteStock,
    TakeBack,
    TakeReturn,
)
from shared.contracts.logistics import (
    AmendFulfilment,
    AnnounceReturn,
    BringGoodsBack,
    BringReturn,
    CollectReturn,
    DeliveryFailed,
    FulfilmentIntercepted,
    FulfilmentStopped,
    GoodsInspected,
    InspectGoods,
    InspectReturn,
    InterceptDelivery,
    InterceptMissed,
    PiecesShort,
    ReportPicked,
    ReportUndeliverable,
    ReturnAnnounced,
    ReturnBrought,
    ReturnInspected,
    ReturnOverdue,
    StopFulfilment,
    StopMissed,
)
from shared.contracts.order import Delivery
from shared.contracts.payment import PaymentRefundRefused

AT = datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
_ORDER: dict[str, Any] = {"order_id": "o-7f3a"}
_IN_STORE: dict[str, Any] = {**_ORDER, "store": "s-mitte"}
_TICKET: dict[str, Any] = {**_ORDER, "ticket_id": "t-o-7f3a-1"}
_DOOR = Delivery(lat=52.520008, lon=13.404954, address="Grocer's Lane 7, 3rd floor", phone="+49 30 555", note="ring ü")
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
    "documents": (Paper(number="IR-o-7f3a", kind="issue_reversal", spus=("bread",), quantities=(1,)),)
}

CONTROLS_BACK: tuple[Message, ...] = (
    ReverseIssue(**_IN_STORE, short_spus=("bread",), short=(1,)),
    DropShort(**_IN_STORE, **_SHORT),
    SubstituteStock(**_IN_STORE, **_SHORT, substitute_spus=("rolls",), substitutes=(1,)),
    TakeBack(**_IN_STORE, **_CAME_BACK, reason="not_reachable"),
    TakeReturn(**_IN_STORE, **_CAME_BACK, reason="returned"),
    StockLost(**_ORDER, **_SHORT),
    IssueReversed(**_ORDER, **_PAPERS),
    ShortDropped(**_ORDER, **_PAPERS),
    StockSubstituted(**_ORDER, **_PAPERS),
    SubstituteShort(**_ORDER, spus=("rolls",), missing=(1,)),
    GoodsTakenBack(**_ORDER, **_PAPERS),
    PaymentRefundRefused(
        **_ORDER,
        refund=1,
        amount=607,
        reference="cap-1",
        code="not_refundable",
        reason="goods_overdue",
        liable="courier",
    ),
    AmendFulfilment(**_IN_STORE, spus=("milk-1l",), quantities=(2,)),
    StopFulfilment(**_IN_STORE),
    InterceptDelivery(**_IN_STORE),
    ReportPicked(**_IN_STORE, **_SHORT),
    ReportUndeliverable(**_IN_STORE, reason="nobody at the door"),
    BringGoodsBack(**_IN_STORE),
    InspectGoods(**_IN_STORE, spus=("milk-1l", "bread"), quantities=(1, 1), resellable=(True, False)),
    PiecesShort(**_IN_STORE, **_SHORT),
    FulfilmentStopped(**_IN_STORE),
    StopMissed(**_IN_STORE),
    FulfilmentIntercepted(**_IN_STORE),
    InterceptMissed(**_IN_STORE),
    DeliveryFailed(**_IN_STORE, reason="nobody at the door"),
    GoodsInspected(**_IN_STORE, **_CAME_BACK),
    AnnounceReturn(**_RETURN, spus=("milk-1l", "bread"), quantities=(2, 1), delivery=_DOOR),
    CollectReturn(**_RETURN, courier="c-9"),
    BringReturn(**_RETURN),
    InspectReturn(**_RETURN, spus=("milk-1l", "bread"), quantities=(1, 1), resellable=(True, False)),
    ReturnAnnounced(**_RETURN, exchange=False),
    ReturnBrought(**_RETURN, exchange=False),
    ReturnInspected(**_RETURN, **_CAME_BACK, exchange=True),
    ReturnOverdue(**_RETURN, exchange=False, collected=True, spus=("milk-1l",), quantities=(2,)),
    RaiseTicket(
        **_TICKET, account="a-12", store="s-mitte", kind="shortage", spus=("bread",), quantities=(1,), reason="short"
    ),
    SettleTicket(**_TICKET, phase="resolved", note="dropped"),
    ReopenCall(**_TICKET, note="substitute_out_of_stock"),
    RecordCall(**_TICKET, outcome="substitute", **_CHOSEN),
    RejectTicket(**_TICKET, reason="found in the van"),
    RefundApproved(**_TICKET),
    InterceptAsked(**_TICKET),
    SubstituteChosen(**_TICKET, **_CHOSEN),
    DropChosen(**_TICKET),
    CancelChosen(**_TICKET),
)
