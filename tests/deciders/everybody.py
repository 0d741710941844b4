"""All six services and all messages at once, for what must be true of every one of them."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from types import ModuleType

from services.aftersales import decider as aftersales
from services.aftersales import state as complaint
from services.aftersales import tickets
from services.inventory import decider as inventory
from services.inventory import state as stock
from services.logistics import decider as logistics
from services.logistics import state as store_work
from services.order import decider as order
from services.order import replacing
from services.order import state as sale
from services.payment import decider as payment
from services.payment import reports
from services.payment import state as money
from services.risk import decider as risk
from services.risk import state as screening
from shared.contracts import inventory as _inventory
from shared.contracts import logistics as _logistics
from shared.contracts import order as _order
from shared.contracts.aftersales import (
    AdmitTicket,
    ApproveTicket,
    CancelChosen,
    ClaimTicket,
    ConfirmReplacement,
    ConfirmReturn,
    DropChosen,
    DropReplacement,
    InterceptAsked,
    NoteTicket,
    OpenTicket,
    RaiseTicket,
    RateOrder,
    RecordCall,
    RejectTicket,
    ReleaseTicket,
    ReplacementApproved,
    SettleTicket,
    SubstituteChosen,
    TicketAsked,
)
from shared.contracts.asyncapi import FROM_OUTSIDE, messages
from shared.contracts.base import CommandAccepted, CommandRefused, Entry, Message
from shared.contracts.inventory import (
    AdjustStock,
    AnnounceSale,
    DeductStock,
    ExpectGoods,
    HoldStock,
    ReceiveGoods,
    ReverseIssue,
    SetAllotment,
    SubstituteStock,
    VerifyStock,
)
from shared.contracts.logistics import (
    AmendFulfilment,
    BringGoodsBack,
    BringReturn,
    CollectReturn,
    FulfilOrder,
    HandOver,
    InspectGoods,
    InspectReturn,
    ReportDelivered,
    ReportPacked,
    ReportPicked,
    ReportUndeliverable,
    ReserveSlot,
    SetSlots,
    StartPicking,
    StopFulfilment,
)
from shared.contracts.order import CancelOrder, PayOrder, PlaceOrder
from shared.contracts.payment import PaymentRefunded, PaymentRefundRefused, RefundPayment, ReportMoney, TakePayment
from shared.contracts.risk import (
    AccountsActed,
    ClaimReview,
    DecideReview,
    OrderCleared,
    OrderReferred,
    OrderRestricted,
    OrdersSeen,
    ReleaseReview,
    ScreenOrder,
    SignalsTold,
)
from shared.runtime.decider import Decider
from shared.runtime.table import Table

MODULES: Mapping[str, ModuleType] = {
    "order": order,
    "inventory": inventory,
    "risk": risk,
    "payment": payment,
    "logistics": logistics,
    "aftersales": aftersales,
}
DECIDERS: Mapping[str, Decider] = {name: module.DECIDER for name, module in MODULES.items()}

TABLES: Mapping[str, tuple[Table, ...]] = {
    "order": (order.SALES_ORDER, replacing.REPLACEMENT_ORDER),
    "inventory": (inventory.HOLD, inventory.ALLOTMENT, inventory.REQUEST),
    "risk": (risk.SCREENING, risk.ENDING),
    "payment": (payment.PAYMENT, payment.REFUND, reports.REPORT),
    "logistics": (logistics.FULFILMENT, logistics.RETURN, logistics.RESERVATION, logistics.SLOT),
    "aftersales": (aftersales.AFTER_SALES, aftersales.TICKET),
}
ALL_TABLES = tuple(table for tables in TABLES.values() for table in tables)

ENDS: Mapping[str, frozenset[StrEnum]] = {
    "sales order": sale.ENDS,
    "replacement order": sale.ENDS,
    "hold": frozenset({stock.Phase.RELEASED, stock.Phase.REVERSED, stock.Phase.TAKEN_BACK}),
    "allotment": frozenset({stock.AllotmentPhase.OVER}),
    "storekeeper's request": frozenset({stock.RequestPhase.WRITTEN}),
    "screening": frozenset(
        {
            screening.Phase.CLEARED,
            screening.Phase.RESTRICTED,
            screening.Phase.REFUSED,
            screening.Phase.WITHDRAWN,
        }
    ),
    "payment": frozenset({money.Phase.TAKEN}),
    "refund": frozenset({money.RefundPhase.REFUNDED, money.RefundPhase.REFUSED}),
    "report": frozenset({money.ReportPhase.CONFIRMED, money.ReportPhase.CONTRADICTED}),
    "fulfilment": frozenset({store_work.Phase.DELIVERED, store_work.Phase.STOPPED, store_work.Phase.INSPECTED}),
    "return": frozenset({store_work.ReturnPhase.INSPECTED, store_work.ReturnPhase.OVERDUE}),
    "reservation": frozenset({store_work.ReservationPhase.REFUSED, store_work.ReservationPhase.FREED}),
    "slot": frozenset({store_work.SlotPhase.SET}),
    "ending": frozenset({screening.EndingPhase.KNOWN}),
    "after-sales window": frozenset({complaint.Phase.SHUT}),
    "ticket": complaint.TICKET_ENDS,
}
"""The phases of each table that nothing leads out of, `LEFT_AGAIN` apart."""

LEFT_AGAIN: Mapping[str, frozenset[StrEnum]] = {
    "ticket": frozenset({complaint.TicketPhase.RESOLVED}),
    "allotment": frozenset({stock.AllotmentPhase.OVER}),
}
"""Ends that are one but for a person's word: a late intercept may become another ticket, a sale may get a later end."""

NEVER: Mapping[str, frozenset[StrEnum]] = {"replacement order": sale.SALES_ONLY}
"""Phases that a table has no row for: nothing of its kind is ever in them."""

_BESIDE_GOODS = tuple(unfit for unfit in tickets.UNFIT if unfit not in (complaint.KindNeeded, complaint.KindFixed))
_TICKET_ENDS = (complaint.TicketWent, complaint.LastTicketWent)

READ_AS: Mapping[type, tuple[type, ...]] = {
    PlaceOrder: (sale.BasketPriced, sale.BasketPricedForSlot, *sale.Unplaceable.__subclasses__()),
    PayOrder: (PayOrder, sale.PaidAtOtherTotal, sale.ClickedTooLarge, sale.ClickedTooLate),
    **{
        carries_on: (carries_on, sale.SlotMissed)
        for carries_on in (OrderCleared, OrderRestricted, OrderReferred, _inventory.StockHeld, sale.PaymentExpired)
    },
    _inventory.StockVerified: (sale.TotalHolds, sale.TotalChanged, sale.TotalOutgrown, sale.SlotMissed),
    CancelOrder: (CancelOrder, sale.CancelWanted, sale.CancelRefused, sale.CancelNeedsTicket),
    PaymentRefunded: (PaymentRefunded, sale.StrayMoneyReturned),
    PaymentRefundRefused: (PaymentRefundRefused, sale.StrayRefundRefused),
    DropChosen: (DropChosen, sale.ShortageSettled, sale.NothingLeft, sale.OtherCall),
    sale.ShortageUnanswered: (sale.ShortageUnanswered, sale.ShortageSettled, sale.NothingLeft),
    SubstituteChosen: (SubstituteChosen, sale.SubstituteFits, sale.SubstituteUnfit, sale.OtherCall),
    CancelChosen: (CancelChosen, sale.OtherCall),
    InterceptAsked: (InterceptAsked, sale.CancelByTicket),
    TicketAsked: (TicketAsked, sale.TicketFits, sale.TicketUnfit),
    ReplacementApproved: (ReplacementApproved, sale.ReplacementFits, sale.ReplacementUnfit),
    _logistics.ReturnInspected: (sale.ReturnCame, sale.OldGoodsCame),
    _logistics.ReturnOverdue: (sale.ReturnForgotten, sale.ReturnLost),
    HoldStock: (HoldStock, stock.LockFits, stock.CheckFits, stock.SourcesFit, stock.HoldFallsShort),
    VerifyStock: (VerifyStock, stock.CheckStillFits, stock.SourcesStillFit, stock.CheckFitsNoMore),
    DeductStock: (
        DeductStock,
        stock.CheckedGoodsThere,
        stock.SourcedGoodsThere,
        stock.PiecesSold,
        stock.CheckedGoodsSoldOut,
    ),
    ReverseIssue: (ReverseIssue, stock.PiecesBack, stock.SoldPiecesMissing),
    SubstituteStock: (stock.SubstitutesThere, stock.SubstitutesShort),
    ReceiveGoods: (ReceiveGoods, stock.AwaitedGoodsCome),
    ExpectGoods: (stock.IncomingFits, stock.IncomingBelowSold),
    SetAllotment: (
        stock.AllotmentFits,
        stock.SpuHasAllotment,
        stock.AllotmentOfOtherSpu,
        stock.AllotmentOverStock,
        stock.AllotmentBelowSold,
        stock.AllotmentTooLate,
    ),
    AnnounceSale: (stock.SaleEndsLater, stock.SaleEnded),
    AdjustStock: (
        AdjustStock,
        stock.CountFits,
        stock.CountBelowZero,
        stock.CountChangesNothing,
        stock.CountTakesHold,
        stock.PiecesMissing,
    ),
    ScreenOrder: (
        screening.FoundNothing,
        screening.FoundRestriction,
        screening.FoundReferral,
        screening.FoundRefusal,
    ),
    DecideReview: (
        screening.ReviewCleared,
        screening.ReviewRestricted,
        screening.ReviewRefused,
        screening.ReviewClaimedByOther,
    ),
    ClaimReview: (ClaimReview, screening.ReviewClaimedByOther),
    ReleaseReview: (ReleaseReview, screening.ReviewClaimedByOther, screening.NobodysReview),
    AccountsActed: (screening.EndingTold,),
    SignalsTold: (),  # facts of risk's: a table decides nothing about them
    TakePayment: (TakePayment, payment.NothingToTake, payment.SameAttempt),
    RefundPayment: (RefundPayment, payment.NothingToRefund, payment.RefundOverRest),
    ReportMoney: (ReportMoney, reports.KnownMoney, reports.ToldBefore, reports.BooksDisagree),
    ReserveSlot: (ReserveSlot, store_work.PlaceFree, store_work.NoPlace),
    SetSlots: (SetSlots, store_work.EndMoved),
    FulfilOrder: (FulfilOrder, store_work.FulfilLater, store_work.AnnouncedAlong),
    StopFulfilment: (StopFulfilment, store_work.CalledOff),
    complaint.WindowPassed: (complaint.WindowPassed, complaint.PassedUnderTickets),
    RaiseTicket: (RaiseTicket, complaint.TicketCame),
    RateOrder: (RateOrder, complaint.RatedByOther, complaint.RatedAgain, complaint.RatedWell, complaint.RatedBadly),
    OpenTicket: (
        OpenTicket,
        complaint.AskedAfterShut,
        complaint.AskedUnderOtherName,
        complaint.GoodsOpened,
        complaint.GoodsAsked,
        *_BESIDE_GOODS,
    ),
    AdmitTicket: (complaint.Admitted, *_BESIDE_GOODS),
    ConfirmReplacement: (complaint.Replenished, complaint.Exchanged),
    DropReplacement: (complaint.NotReplaced,),
    ConfirmReturn: (complaint.GoodsCame, complaint.NothingCame, complaint.OldGoodsSettled),
    ClaimTicket: (ClaimTicket, complaint.ClaimedByOther),
    ReleaseTicket: (ReleaseTicket, complaint.NobodysClaim, complaint.ClaimedByOther),
    NoteTicket: (NoteTicket, complaint.NotesFull),
    SettleTicket: (complaint.Done, complaint.NotDone, *_TICKET_ENDS),
    RecordCall: (
        complaint.SubstituteWanted,
        complaint.DropWanted,
        complaint.CancelWanted,
        complaint.SubstitutesBesideShort,
        complaint.NotACall,
        complaint.ClaimedByOther,
    ),
    ApproveTicket: (
        complaint.Approved,
        complaint.RetryApproved,
        complaint.ApprovalUnneeded,
        complaint.ClaimedByOther,
        complaint.AskedAfterShut,
        complaint.RefundWanted,
        complaint.ReturnWanted,
        complaint.ReplacementWanted,
        *tickets.UNFIT,
    ),
    RejectTicket: (complaint.Denied, complaint.ApprovalUnneeded, complaint.ClaimedByOther),
    **{
        asked: (asked, store_work.AskedInOtherStore)
        for asked in (
            StartPicking,
            ReportPacked,
            HandOver,
            ReportUndeliverable,
            BringGoodsBack,
        )
    },
    **{
        asked: (asked, store_work.AskedInOtherStore, store_work.WaitsForDelivery)
        for asked in (CollectReturn, BringReturn)
    },
    ReportDelivered: (ReportDelivered, store_work.CollectedAtDelivery, store_work.AskedInOtherStore),
    ReportPicked: (
        ReportPicked,
        store_work.PiecesMissing,
        store_work.MoreShortThanListed,
        store_work.LineUnknown,
        store_work.AskedInOtherStore,
    ),
    AmendFulfilment: (store_work.ListAmended,),
    InspectGoods: (
        InspectGoods,
        store_work.GoodsSorted,
        store_work.MoreThanSent,
        store_work.LineUnknown,
        store_work.AskedInOtherStore,
    ),
    InspectReturn: (
        InspectReturn,
        store_work.GoodsSorted,
        store_work.MoreThanAnnounced,
        store_work.LineUnknown,
        store_work.AskedInOtherStore,
    ),
}
"""What a message is read into before its table decides it; every other message is decided as it is."""

OF_EFFECTS: Mapping[str, tuple[type, ...]] = {
    "payment": (
        payment.AwaitedMoney,
        payment.StrayMoney,
        payment.KnownOtherwise,
        payment.TakenOtherwise,
        payment.AnsweredWithKnown,
        reports.GatewayConfirms,
        reports.GatewayDisagrees,
        money.GatewayFoundNothing,
        money.GatewayDeclined,
        money.GatewayTimedOut,
        money.GatewayKnowsNoMoney,
        money.GatewayRefunded,
        payment.RefundedOtherwise,
        money.GatewayRefusedRefund,
        payment.LateAnswer,
        payment.UnansweredLate,
    )
}
"""Columns that come of the answers to effects."""

PEOPLE = FROM_OUTSIDE
"""Commands that come from outside: people over HTTP, robots, the gateway's webhook."""

HEARD_OUTSIDE: frozenset[type[Message]] = frozenset(
    {
        CommandAccepted,
        CommandRefused,
        OrdersSeen,
        _order.OrderPayable,
        _order.OrderPaid,
        _order.OrderDelivered,
        _order.OrderClosed,
        _order.OrderCancelled,
        _order.OrderRejected,
        _logistics.FulfilmentQueued,
        _logistics.ReturnAnnounced,
        _logistics.ReturnBrought,
        _logistics.PickingFinished,
        _logistics.SlotsSet,
        _inventory.GoodsReceived,
        _inventory.StockAdjusted,
    }
)
"""Events that no service listens to: robots, integrators and the console do."""


@cache
def modules_of(service: str) -> tuple[ModuleType, ...]:
    """The decider, and what it imports of its own service: all that decides."""
    package, found = f"services.{service}.", [MODULES[service]]
    for module in found:  # grows while it is walked
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(package):
                names = [str(node.module), *(f"{node.module}.{name.name}" for name in node.names)]
                modules = [sys.modules[name] for name in names if name in sys.modules and f"{name}." != package]
                found += [m for m in modules if m not in found]
    return tuple(found)


COUNTS = "services.risk.counting"
"""What risk's stream application counts with, and says; the decider imports it, and says none of it."""


@cache
def said_by(service: str) -> frozenset[type[Message]]:
    """The messages that a service's decider makes, read from its source; for an entry, what it is packed in."""
    names = {
        (module, node.func.id)
        for module in modules_of(service)
        if module.__name__ != COUNTS
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    made = {one for module, name in names if isinstance(one := getattr(module, name, None), type)}
    made |= {one.PACK for one in made if issubclass(one, Entry)}
    return frozenset(m for m in messages() if m in made)


def register_codes() -> None:
    """Loads what tells people what the codes of refusals mean."""
    for service in MODULES:
        importlib.import_module(f"services.{service}.api")
