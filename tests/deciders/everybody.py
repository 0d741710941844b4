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
from services.aftersales import state as complaint
from services.aftersales import tickets
from services.inventory import decider as inventory_decider
from services.inventory import state as stock
from services.logistics import decider as logistics_decider
from services.logistics import state as store_work
from services.order import decider as order_decider
from services.order import replacing
from services.order import state as sale
from services.payment import decider as payment_decider
from services.payment import reports
from services.payment import state as money
from services.risk import decider as risk_decider
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

_BESIDE_GOODS = tuple(unfit for unfit in tickets.UNFIT if unfit not in (complaint.KindNeeded, complaint.KindFixed))
_TICKET_ENDS = (complaint.TicketWent, complaint.LastTicketWent)

READ_AS: Mapping[type, tuple[type, ...]] = {
    ordering.PlaceOrder: (sale.BasketPriced, sale.BasketPricedForSlot, *sale.Unplaceable.__subclasses__()),
    ordering.PayOrder: (ordering.PayOrder, sale.PaidAtOtherTotal, sale.ClickedTooLarge, sale.ClickedTooLate),
    **{
        carries_on: (carries_on, sale.SlotMissed)
        for carries_on in (risk.OrderRestricted, risk.OrderReferred, sale.PaymentExpired)
    },
    risk.OrderCleared: (risk.OrderCleared, sale.FirstPaidFirst, sale.SlotMissed),
    inventory.StockHeld: (inventory.StockHeld, sale.HeldAtOtherTotal, sale.TotalOutgrown, sale.SlotMissed),
    inventory.StockShort: (inventory.StockShort, sale.FlashSoldOut),
    inventory.StockVerified: (
        sale.TotalHolds,
        sale.TotalToClaim,
        sale.TotalChanged,
        sale.TotalOutgrown,
        sale.SlotMissed,
    ),
    ordering.SettleClaim: (sale.ClaimGranted, sale.TotalChanged, sale.TotalOutgrown, sale.ClaimTooLate),
    # About an account or a flash sale: no table decides these.
    **dict.fromkeys((ordering.ClaimPromotions, ordering.ReturnPromotions, ordering.TellSale), ()),
    ordering.CancelOrder: (ordering.CancelOrder, sale.CancelWanted, sale.CancelRefused, sale.CancelNeedsTicket),
    payment.PaymentRefunded: (payment.PaymentRefunded, sale.StrayMoneyReturned),
    payment.PaymentRefundRefused: (payment.PaymentRefundRefused, sale.StrayRefundRefused),
    aftersales.DropChosen: (aftersales.DropChosen, sale.ShortageSettled, sale.NothingLeft, sale.OtherCall),
    sale.ShortageUnanswered: (sale.ShortageUnanswered, sale.ShortageSettled, sale.NothingLeft),
    aftersales.SubstituteChosen: (
        aftersales.SubstituteChosen,
        sale.SubstituteFits,
        sale.SubstituteUnfit,
        sale.OtherCall,
    ),
    aftersales.CancelChosen: (aftersales.CancelChosen, sale.OtherCall),
    aftersales.InterceptAsked: (aftersales.InterceptAsked, sale.CancelByTicket),
    aftersales.TicketAsked: (aftersales.TicketAsked, sale.TicketFits, sale.TicketUnfit),
    aftersales.ReplacementApproved: (aftersales.ReplacementApproved, sale.ReplacementFits, sale.ReplacementUnfit),
    logistics.ReturnInspected: (sale.ReturnCame, sale.OldGoodsCame),
    logistics.ReturnOverdue: (sale.ReturnForgotten, sale.ReturnLost),
    inventory.HoldStock: (inventory.HoldStock, stock.LockFits, stock.CheckFits, stock.SourcesFit, stock.HoldFallsShort),
    inventory.VerifyStock: (inventory.VerifyStock, stock.CheckStillFits, stock.SourcesStillFit, stock.CheckFitsNoMore),
    inventory.DeductStock: (
        inventory.DeductStock,
        stock.CheckedGoodsThere,
        stock.SourcedGoodsThere,
        stock.PiecesSold,
        stock.CheckedGoodsSoldOut,
    ),
    inventory.ReverseIssue: (inventory.ReverseIssue, stock.PiecesBack, stock.SoldPiecesMissing),
    inventory.SubstituteStock: (stock.SubstitutesThere, stock.SubstitutesShort),
    inventory.ReceiveGoods: (inventory.ReceiveGoods, stock.AwaitedGoodsCome),
    inventory.ExpectGoods: (stock.IncomingFits, stock.IncomingBelowSold),
    inventory.SetAllotment: (
        stock.AllotmentFits,
        stock.SpuHasAllotment,
        stock.AllotmentOfOtherSpu,
        stock.AllotmentOverStock,
        stock.AllotmentBelowSold,
        stock.AllotmentTooLate,
    ),
    inventory.AnnounceSale: (stock.SaleEndsLater, stock.SaleEnded),
    inventory.AdjustStock: (
        inventory.AdjustStock,
        stock.CountFits,
        stock.CountBelowZero,
        stock.CountChangesNothing,
        stock.CountTakesHold,
        stock.PiecesMissing,
    ),
    risk.ScreenOrder: (
        screening.FoundNothing,
        screening.FoundRestriction,
        screening.FoundReferral,
        screening.FoundRefusal,
    ),
    risk.DecideReview: (
        screening.ReviewCleared,
        screening.ReviewRestricted,
        screening.ReviewRefused,
        screening.ReviewClaimedByOther,
    ),
    risk.ClaimReview: (risk.ClaimReview, screening.ReviewClaimedByOther),
    risk.ReleaseReview: (risk.ReleaseReview, screening.ReviewClaimedByOther, screening.NobodysReview),
    risk.AccountsActed: (screening.EndingTold,),
    risk.SignalsTold: (),  # facts of risk's: a table decides nothing about them
    payment.TakePayment: (payment.TakePayment, payment_decider.NothingToTake, payment_decider.SameAttempt),
    payment.RefundPayment: (payment.RefundPayment, payment_decider.NothingToRefund, payment_decider.RefundOverRest),
    payment.ReportMoney: (payment.ReportMoney, reports.KnownMoney, reports.ToldBefore, reports.BooksDisagree),
    logistics.ReserveSlot: (logistics.ReserveSlot, store_work.PlaceFree, store_work.NoPlace),
    logistics.SetSlots: (logistics.SetSlots, store_work.EndMoved),
    logistics.FulfilOrder: (logistics.FulfilOrder, store_work.FulfilLater, store_work.AnnouncedAlong),
    logistics.StopFulfilment: (logistics.StopFulfilment, store_work.CalledOff),
    complaint.WindowPassed: (complaint.WindowPassed, complaint.PassedUnderTickets),
    aftersales.RaiseTicket: (aftersales.RaiseTicket, complaint.TicketCame),
    aftersales.RateOrder: (
        aftersales.RateOrder,
        complaint.RatedByOther,
        complaint.RatedAgain,
        complaint.RatedWell,
        complaint.RatedBadly,
    ),
    aftersales.OpenTicket: (
        aftersales.OpenTicket,
        complaint.AskedAfterShut,
        complaint.AskedUnderOtherName,
        complaint.GoodsOpened,
        complaint.GoodsAsked,
        *_BESIDE_GOODS,
    ),
    aftersales.AdmitTicket: (complaint.Admitted, *_BESIDE_GOODS),
    aftersales.ConfirmReplacement: (complaint.Replenished, complaint.Exchanged),
    aftersales.DropReplacement: (complaint.NotReplaced,),
    aftersales.ConfirmReturn: (complaint.GoodsCame, complaint.NothingCame, complaint.OldGoodsSettled),
    aftersales.ClaimTicket: (aftersales.ClaimTicket, complaint.ClaimedByOther),
    aftersales.ReleaseTicket: (aftersales.ReleaseTicket, complaint.NobodysClaim, complaint.ClaimedByOther),
    aftersales.NoteTicket: (aftersales.NoteTicket, complaint.NotesFull),
    aftersales.SettleTicket: (complaint.Done, complaint.NotDone, *_TICKET_ENDS),
    aftersales.RecordCall: (
        complaint.SubstituteWanted,
        complaint.DropWanted,
        complaint.CancelWanted,
        complaint.SubstitutesBesideShort,
        complaint.NotACall,
        complaint.ClaimedByOther,
    ),
    aftersales.ApproveTicket: (
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
    aftersales.RejectTicket: (complaint.Denied, complaint.ApprovalUnneeded, complaint.ClaimedByOther),
    **{
        asked: (asked, store_work.AskedInOtherStore)
        for asked in (
            logistics.StartPicking,
            logistics.ReportPacked,
            logistics.HandOver,
            logistics.ReportUndeliverable,
            logistics.BringGoodsBack,
        )
    },
    **{
        asked: (asked, store_work.AskedInOtherStore, store_work.WaitsForDelivery)
        for asked in (logistics.CollectReturn, logistics.BringReturn)
    },
    logistics.ReportDelivered: (
        logistics.ReportDelivered,
        store_work.CollectedAtDelivery,
        store_work.AskedInOtherStore,
    ),
    logistics.ReportPicked: (
        logistics.ReportPicked,
        store_work.PiecesMissing,
        store_work.MoreShortThanListed,
        store_work.LineUnknown,
        store_work.AskedInOtherStore,
    ),
    logistics.AmendFulfilment: (store_work.ListAmended,),
    logistics.InspectGoods: (
        logistics.InspectGoods,
        store_work.GoodsSorted,
        store_work.MoreThanSent,
        store_work.LineUnknown,
        store_work.AskedInOtherStore,
    ),
    logistics.InspectReturn: (
        logistics.InspectReturn,
        store_work.GoodsSorted,
        store_work.MoreThanAnnounced,
        store_work.LineUnknown,
        store_work.AskedInOtherStore,
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
        money.GatewayFoundNothing,
        money.GatewayDeclined,
        money.GatewayTimedOut,
        money.GatewayKnowsNoMoney,
        money.GatewayRefunded,
        payment_decider.RefundedOtherwise,
        money.GatewayRefusedRefund,
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
