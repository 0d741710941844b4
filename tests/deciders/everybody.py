"""All six services and all messages at once, for what must be true of every one of them."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Mapping
from enum import StrEnum
from functools import cache, reduce
from types import ModuleType
from typing import cast

from services.aftersales import decider as aftersales_decider
from services.aftersales import inner as aftersales_inner
from services.aftersales import state as complaint
from services.aftersales import tickets
from services.inventory import decider as inventory_decider
from services.inventory import inner as inventory_inner
from services.inventory import state as stock
from services.logistics import decider as logistics_decider
from services.logistics import inner as logistics_inner
from services.logistics import state as store_work
from services.order import decider as order_decider
from services.order import inner as order_inner
from services.order import replacing
from services.order import state as sale
from services.payment import decider as payment_decider
from services.payment import inner as payment_inner
from services.payment import reports
from services.payment import state as money
from services.risk import decider as risk_decider
from services.risk import inner as risk_inner
from services.risk import state as screening
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.asyncapi import FROM_OUTSIDE, messages
from shared.contracts.base import CommandAccepted, CommandRefused, Entry, Message
from shared.runtime.decider import Decider
from shared.runtime.table import Table

MODULES: Mapping[str, ModuleType] = {
    "order": order_decider,
    "inventory": inventory_decider,
    "risk": risk_decider,
    "payment": payment_decider,
    "logistics": logistics_decider,
    "aftersales": aftersales_decider,
}
DECIDERS: Mapping[str, Decider] = {name: module.DECIDER for name, module in MODULES.items()}

TABLES: Mapping[str, tuple[Table, ...]] = {
    "order": (order_decider.SALES_ORDER, replacing.REPLACEMENT_ORDER),
    "inventory": (inventory_decider.HOLD, inventory_decider.ALLOTMENT, inventory_decider.REQUEST),
    "risk": (risk_decider.SCREENING, risk_decider.ENDING),
    "payment": (payment_decider.PAYMENT, payment_decider.REFUND, reports.REPORT),
    "logistics": (
        logistics_decider.FULFILMENT,
        logistics_decider.RETURN,
        logistics_decider.RESERVATION,
        logistics_decider.SLOT,
    ),
    "aftersales": (aftersales_decider.AFTER_SALES, aftersales_decider.TICKET),
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

_BESIDE_GOODS = tuple(
    unfit for unfit in tickets.UNFIT if unfit not in (aftersales_inner.KindNeeded, aftersales_inner.KindFixed)
)
_TICKET_ENDS = (aftersales_inner.TicketWent, aftersales_inner.LastTicketWent)

READ_AS: Mapping[type, tuple[type, ...]] = {
    ordering.PlaceOrder: (
        order_inner.BasketPriced,
        order_inner.BasketPricedForSlot,
        *order_inner.Unplaceable.__subclasses__(),
    ),
    ordering.PayOrder: (
        ordering.PayOrder,
        order_inner.PaidAtOtherTotal,
        order_inner.ClickedTooLarge,
        order_inner.ClickedTooLate,
    ),
    **{
        carries_on: (carries_on, order_inner.SlotMissed)
        for carries_on in (risk.OrderRestricted, risk.OrderReferred, order_inner.PaymentExpired)
    },
    risk.OrderCleared: (risk.OrderCleared, order_inner.FirstPaidFirst, order_inner.SlotMissed),
    inventory.StockHeld: (
        inventory.StockHeld,
        order_inner.HeldAtOtherTotal,
        order_inner.TotalOutgrown,
        order_inner.SlotMissed,
    ),
    inventory.StockShort: (inventory.StockShort, order_inner.FlashSoldOut),
    inventory.StockVerified: (
        order_inner.TotalHolds,
        order_inner.TotalToClaim,
        order_inner.TotalChanged,
        order_inner.TotalOutgrown,
        order_inner.SlotMissed,
    ),
    ordering.SettleClaim: (
        order_inner.ClaimGranted,
        order_inner.TotalChanged,
        order_inner.TotalOutgrown,
        order_inner.ClaimTooLate,
    ),
    # About an account or a flash sale: no table decides these.
    **dict.fromkeys((ordering.ClaimPromotions, ordering.ReturnPromotions, ordering.TellSale), ()),
    ordering.CancelOrder: (
        ordering.CancelOrder,
        order_inner.CancelWanted,
        order_inner.CancelRefused,
        order_inner.CancelNeedsTicket,
    ),
    payment.PaymentRefunded: (payment.PaymentRefunded, order_inner.StrayMoneyReturned),
    payment.PaymentRefundRefused: (payment.PaymentRefundRefused, order_inner.StrayRefundRefused),
    aftersales.DropChosen: (
        aftersales.DropChosen,
        order_inner.ShortageSettled,
        order_inner.NothingLeft,
        order_inner.OtherCall,
    ),
    order_inner.ShortageUnanswered: (
        order_inner.ShortageUnanswered,
        order_inner.ShortageSettled,
        order_inner.NothingLeft,
    ),
    aftersales.SubstituteChosen: (
        aftersales.SubstituteChosen,
        order_inner.SubstituteFits,
        order_inner.SubstituteUnfit,
        order_inner.OtherCall,
    ),
    aftersales.CancelChosen: (aftersales.CancelChosen, order_inner.OtherCall),
    aftersales.InterceptAsked: (aftersales.InterceptAsked, order_inner.CancelByTicket),
    aftersales.TicketAsked: (aftersales.TicketAsked, order_inner.TicketFits, order_inner.TicketUnfit),
    aftersales.ReplacementApproved: (
        aftersales.ReplacementApproved,
        order_inner.ReplacementFits,
        order_inner.ReplacementUnfit,
    ),
    logistics.ReturnInspected: (order_inner.ReturnCame, order_inner.OldGoodsCame),
    logistics.ReturnOverdue: (order_inner.ReturnForgotten, order_inner.ReturnLost),
    inventory.HoldStock: (
        inventory.HoldStock,
        inventory_inner.LockFits,
        inventory_inner.CheckFits,
        inventory_inner.SourcesFit,
        inventory_inner.HoldFallsShort,
    ),
    inventory.VerifyStock: (
        inventory.VerifyStock,
        inventory_inner.CheckStillFits,
        inventory_inner.SourcesStillFit,
        inventory_inner.CheckFitsNoMore,
    ),
    inventory.DeductStock: (
        inventory.DeductStock,
        inventory_inner.CheckedGoodsThere,
        inventory_inner.SourcedGoodsThere,
        inventory_inner.PiecesSold,
        inventory_inner.CheckedGoodsSoldOut,
    ),
    inventory.ReverseIssue: (inventory.ReverseIssue, inventory_inner.PiecesBack, inventory_inner.SoldPiecesMissing),
    inventory.SubstituteStock: (inventory_inner.SubstitutesThere, inventory_inner.SubstitutesShort),
    inventory.ReceiveGoods: (inventory.ReceiveGoods, inventory_inner.AwaitedGoodsCome),
    inventory.ExpectGoods: (inventory_inner.IncomingFits, inventory_inner.IncomingBelowSold),
    inventory.SetAllotment: (
        inventory_inner.AllotmentFits,
        inventory_inner.SpuHasAllotment,
        inventory_inner.AllotmentOfOtherSpu,
        inventory_inner.AllotmentOverStock,
        inventory_inner.AllotmentBelowSold,
        inventory_inner.AllotmentTooLate,
    ),
    inventory.AnnounceSale: (inventory_inner.SaleEndsLater, inventory_inner.SaleEnded),
    inventory.AdjustStock: (
        inventory.AdjustStock,
        inventory_inner.CountFits,
        inventory_inner.CountBelowZero,
        inventory_inner.CountChangesNothing,
        inventory_inner.CountTakesHold,
        inventory_inner.PiecesMissing,
    ),
    risk.ScreenOrder: (
        risk_inner.FoundNothing,
        risk_inner.FoundRestriction,
        risk_inner.FoundReferral,
        risk_inner.FoundRefusal,
    ),
    risk.DecideReview: (
        risk_inner.ReviewCleared,
        risk_inner.ReviewRestricted,
        risk_inner.ReviewRefused,
        risk_inner.ReviewClaimedByOther,
    ),
    risk.ClaimReview: (risk.ClaimReview, risk_inner.ReviewClaimedByOther),
    risk.ReleaseReview: (risk.ReleaseReview, risk_inner.ReviewClaimedByOther, risk_inner.NobodysReview),
    risk.AccountsActed: (risk_inner.EndingTold,),
    risk.SignalsTold: (),  # facts of risk's: a table decides nothing about them
    payment.TakePayment: (payment.TakePayment, payment_decider.NothingToTake, payment_decider.SameAttempt),
    payment.RefundPayment: (payment.RefundPayment, payment_decider.NothingToRefund, payment_decider.RefundOverRest),
    payment.ReportMoney: (payment.ReportMoney, reports.KnownMoney, reports.ToldBefore, reports.BooksDisagree),
    logistics.ReserveSlot: (logistics.ReserveSlot, logistics_inner.PlaceFree, logistics_inner.NoPlace),
    logistics.SetSlots: (logistics.SetSlots, logistics_inner.EndMoved),
    logistics.FulfilOrder: (logistics.FulfilOrder, logistics_inner.FulfilLater, logistics_inner.AnnouncedAlong),
    logistics.StopFulfilment: (logistics.StopFulfilment, logistics_inner.CalledOff),
    aftersales_inner.WindowPassed: (aftersales_inner.WindowPassed, aftersales_inner.PassedUnderTickets),
    aftersales.RaiseTicket: (aftersales.RaiseTicket, aftersales_inner.TicketCame),
    aftersales.RateOrder: (
        aftersales.RateOrder,
        aftersales_inner.RatedByOther,
        aftersales_inner.RatedAgain,
        aftersales_inner.RatedWell,
        aftersales_inner.RatedBadly,
    ),
    aftersales.OpenTicket: (
        aftersales.OpenTicket,
        aftersales_inner.AskedAfterShut,
        aftersales_inner.AskedUnderOtherName,
        aftersales_inner.GoodsOpened,
        aftersales_inner.GoodsAsked,
        *_BESIDE_GOODS,
    ),
    aftersales.AdmitTicket: (aftersales_inner.Admitted, *_BESIDE_GOODS),
    aftersales.ConfirmReplacement: (aftersales_inner.Replenished, aftersales_inner.Exchanged),
    aftersales.DropReplacement: (aftersales_inner.NotReplaced,),
    aftersales.ConfirmReturn: (
        aftersales_inner.GoodsCame,
        aftersales_inner.NothingCame,
        aftersales_inner.OldGoodsSettled,
    ),
    aftersales.ClaimTicket: (aftersales.ClaimTicket, aftersales_inner.ClaimedByOther),
    aftersales.ReleaseTicket: (
        aftersales.ReleaseTicket,
        aftersales_inner.NobodysClaim,
        aftersales_inner.ClaimedByOther,
    ),
    aftersales.NoteTicket: (aftersales.NoteTicket, aftersales_inner.NotesFull),
    aftersales.SettleTicket: (aftersales_inner.Done, aftersales_inner.NotDone, *_TICKET_ENDS),
    aftersales.RecordCall: (
        aftersales_inner.SubstituteWanted,
        aftersales_inner.DropWanted,
        aftersales_inner.CancelWanted,
        aftersales_inner.SubstitutesBesideShort,
        aftersales_inner.NotACall,
        aftersales_inner.ClaimedByOther,
    ),
    aftersales.ApproveTicket: (
        aftersales_inner.Approved,
        aftersales_inner.RetryApproved,
        aftersales_inner.ApprovalUnneeded,
        aftersales_inner.ClaimedByOther,
        aftersales_inner.AskedAfterShut,
        aftersales_inner.RefundWanted,
        aftersales_inner.ReturnWanted,
        aftersales_inner.ReplacementWanted,
        *tickets.UNFIT,
    ),
    aftersales.RejectTicket: (
        aftersales_inner.Denied,
        aftersales_inner.ApprovalUnneeded,
        aftersales_inner.ClaimedByOther,
    ),
    **{
        asked: (asked, logistics_inner.AskedInOtherStore)
        for asked in (
            logistics.StartPicking,
            logistics.ReportPacked,
            logistics.HandOver,
            logistics.ReportUndeliverable,
            logistics.BringGoodsBack,
        )
    },
    **{
        asked: (asked, logistics_inner.AskedInOtherStore, logistics_inner.WaitsForDelivery)
        for asked in (logistics.CollectReturn, logistics.BringReturn)
    },
    logistics.ReportDelivered: (
        logistics.ReportDelivered,
        logistics_inner.CollectedAtDelivery,
        logistics_inner.AskedInOtherStore,
    ),
    logistics.ReportPicked: (
        logistics.ReportPicked,
        logistics_inner.PiecesMissing,
        logistics_inner.MoreShortThanListed,
        logistics_inner.LineUnknown,
        logistics_inner.AskedInOtherStore,
    ),
    logistics.AmendFulfilment: (logistics_inner.ListAmended,),
    logistics.InspectGoods: (
        logistics.InspectGoods,
        logistics_inner.GoodsSorted,
        logistics_inner.MoreThanSent,
        logistics_inner.LineUnknown,
        logistics_inner.AskedInOtherStore,
    ),
    logistics.InspectReturn: (
        logistics.InspectReturn,
        logistics_inner.GoodsSorted,
        logistics_inner.MoreThanAnnounced,
        logistics_inner.LineUnknown,
        logistics_inner.AskedInOtherStore,
    ),
}
"""What a message is read into before its table decides it; every other message is decided as it is."""

OF_EFFECTS: Mapping[str, tuple[type, ...]] = {
    "payment": (
        payment_decider.AwaitedMoney,
        payment_decider.StrayMoney,
        payment_decider.KnownOtherwise,
        payment_decider.TakenOtherwise,
        payment_decider.AnsweredWithKnown,
        reports.GatewayConfirms,
        reports.GatewayDisagrees,
        payment_inner.GatewayFoundNothing,
        payment_inner.GatewayDeclined,
        payment_inner.GatewayTimedOut,
        payment_inner.GatewayKnowsNoMoney,
        payment_inner.GatewayRefunded,
        payment_decider.RefundedOtherwise,
        payment_inner.GatewayRefusedRefund,
        payment_decider.LateAnswer,
        payment_decider.UnansweredLate,
    )
}
"""Columns that come of the answers to effects."""

PEOPLE = FROM_OUTSIDE
"""Commands that come from outside: people over HTTP, robots, the gateway's webhook."""

HEARD_OUTSIDE: frozenset[type[Message]] = frozenset(
    {
        CommandAccepted,
        CommandRefused,
        risk.OrdersSeen,
        ordering.OrderPayable,
        ordering.OrderPaid,
        ordering.OrderDelivered,
        ordering.OrderClosed,
        ordering.OrderCancelled,
        ordering.OrderRejected,
        logistics.FulfilmentQueued,
        logistics.ReturnAnnounced,
        logistics.ReturnBrought,
        logistics.PickingFinished,
        logistics.SlotsSet,
        inventory.GoodsReceived,
        inventory.StockAdjusted,
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
        (module, ast.unparse(node.func))
        for module in modules_of(service)
        if module.__name__ != COUNTS
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    }
    made = {one for module, name in names if isinstance(one := _named(module, name), type)}
    made |= {one.PACK for one in made if issubclass(one, Entry)}
    return frozenset(m for m in messages() if m in made)


def _named(module: ModuleType, dotted: str) -> object:
    """What a module knows under this name, such as `inventory.HoldStock`; None if that is no module's."""
    return reduce(lambda known, name: getattr(known, name, None), dotted.split("."), cast(object, module))


def register_codes() -> None:
    """Loads what tells people what the codes of refusals mean."""
    for service in MODULES:
        importlib.import_module(f"services.{service}.api")
