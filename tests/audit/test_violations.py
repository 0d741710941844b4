"""One thing is broken at a time: exactly the rules that it breaks name exactly the ids that it is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from larder.audit import run
from tests.audit.controls import NOON, SLOT, STORE, Tale, World

pytestmark = pytest.mark.parts


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves in these books: the second look need not wait."""
    monkeypatch.setattr(run, "SETTLE_PAUSE_S", 0.0)
    monkeypatch.setattr(run, "STILL_S", 0.0)


Broken = Callable[[World], Awaitable[None]]
Found = set[tuple[str, tuple[str, ...]]]
CASES: list[Any] = []


def breaks(*found: tuple[str, str]) -> Callable[[Broken], Broken]:
    """Registers a way to break the world, with the rules and ids (written with spaces) that must be named."""

    def register(broken: Broken) -> Broken:
        named = {(rule, tuple(ids.split(" | "))) for rule, ids in found}
        CASES.append(pytest.param(broken, named, id=broken.__name__))
        return broken

    return register


# -- stock ---------------------------------------------------------------------------------------------------------


@breaks(("cells_are_ledger_sums", "s-1 | apple"))
async def cell_off_by_one(w: World) -> None:
    await w.break_("inventory", "update cells set on_hand = on_hand + 1 where spu = 'apple'")


@breaks(("cells_are_ledger_sums", "s-1 | bread"))
async def locked_off_by_one(w: World) -> None:
    await w.break_("inventory", "update cells set locked = locked + 1 where spu = 'bread'")


@breaks(("cells_are_ledger_sums", "s-1 | milk"))
async def cell_missing(w: World) -> None:
    await w.break_("inventory", "delete from cells where spu = 'milk'")


@breaks(
    ("stock_never_negative", "s-1 | caviar"), ("movement_has_paper", "s-1 | 42"), ("movement_has_paper", "s-1 | 43")
)
async def stock_was_below_zero_for_a_while(w: World) -> None:
    for pieces in ("[-1]", "[1]"):
        row = (STORE, NOON, "adjustment", None, "AD-none", '["caviar"]', pieces, "[0]")
        await w.add("inventory", "ledger", *row)


@breaks(("movement_has_paper", "s-1 | 11"), ("hold_is_its_moves", "o-payable"), ("hold_is_its_moves", "o-nobody"))
async def movement_of_nobody(w: World) -> None:
    await w.break_("inventory", "update ledger set order_id = 'o-nobody' where order_id = 'o-payable'")


@breaks(("movement_has_paper", "s-1 | 1"), ("cells_are_ledger_sums", "s-1 | milk"))
async def receipt_moves_other_pieces(w: World) -> None:
    await w.break_(
        "inventory", "update ledger set on_hand = replace(on_hand, '[100, 100', '[100, 101') where document = 'GR-1'"
    )


@breaks(("document_moved_once", "GR-9"))
async def document_that_moved_nothing(w: World) -> None:
    await w.add("inventory", "documents", "GR-9", "goods_receipt", STORE, None, NOON, '["milk"]', "[1]", None)


@breaks(("hold_is_its_moves", "o-expired"))
async def hold_released_without_unlocking(w: World) -> None:
    await w.break_("inventory", "delete from ledger where kind = 'unlock'")
    await w.break_("inventory", "update cells set locked = locked + 2 where spu = 'milk'")


# -- holds and issues ----------------------------------------------------------------------------------------------


@breaks(("no_hold_outlives_order", "o-sold-out"))
async def checked_hold_left_behind(w: World) -> None:
    await w.break_("inventory", "update holds set phase = 'checked' where order_id = 'o-sold-out'")


@breaks(("no_hold_outlives_order", "o-ghost"))
async def hold_of_an_order_that_nobody_knows(w: World) -> None:
    await w.add("inventory", "holds", "o-ghost", STORE, "checked", "on_payment", '["milk"]', "[1]", "")


@breaks(("waiting_order_holds", "o-checked"))
async def payable_order_without_hold(w: World) -> None:
    await w.break_("inventory", "delete from holds where order_id = 'o-checked'")


@breaks(("waiting_order_holds", "o-checked"))
async def hold_of_other_pieces(w: World) -> None:
    await w.break_("inventory", "update holds set quantities = '[3]' where order_id = 'o-checked'")


@breaks(("waiting_order_holds", "o-checked"), ("screening_agrees", "o-checked"))
async def hold_in_another_mode_than_the_order(w: World) -> None:
    await w.break_("order", "update orders set hold_mode = 'lock' where order_id = 'o-checked'")


@breaks(
    ("issued_is_wanted", "o-picking"),
    ("papers_show_documents", "o-picking"),
    ("document_moved_once", "SI-o-picking-again"),
)
async def two_sales_issues(w: World) -> None:
    row = ("SI-o-picking-again", "sales_issue", STORE, "o-picking", NOON, '["apple"]', "[1]", None)
    await w.add("inventory", "documents", *row)


@breaks(("issued_is_wanted", "o-stray"), ("papers_show_documents", "o-stray"), ("movement_has_paper", "s-1 | 18"))
async def no_sales_issue(w: World) -> None:
    await w.break_("inventory", "delete from documents where order_id = 'o-stray'")


@breaks(("issued_is_wanted", "o-closed"), ("papers_show_documents", "o-closed"), ("movement_has_paper", "s-1 | 5"))
async def issue_of_other_pieces(w: World) -> None:
    await w.break_("inventory", "update documents set quantities = '[2, 2]' where number = 'SI-o-closed'")


@breaks(
    ("issued_is_wanted", "o-reversed"),
    ("papers_show_documents", "o-reversed"),
    ("movement_has_paper", "s-1 | 16"),
)
async def cancelled_order_with_a_live_issue(w: World) -> None:
    await w.break_("inventory", "delete from documents where number = 'IR-o-reversed'")


@breaks(("reversals_fit", "o-reversed"))
async def reversal_of_another_issue(w: World) -> None:
    await w.break_("inventory", "update documents set reverses = 'SI-o-closed' where number = 'IR-o-reversed'")


@breaks(("papers_show_documents", "o-closed"))
async def page_without_its_document(w: World) -> None:
    await w.break_("order", "delete from papers where order_id = 'o-closed' and kind = 'document'")


# -- money ---------------------------------------------------------------------------------------------------------


@breaks(("journal_is_gateway", "o-closed"))
async def a_refund_too_many_at_the_gateway(w: World) -> None:
    row = ("o-closed:refund-1", "ref_o-closed:refund-1", "cap_o-closed:1", "o-closed", 100, "EUR", "why", NOON)
    await w.add("gateway", "refunds", *row)


@breaks(("journal_is_gateway", "o-closed"), ("gateway_keeps_its_sums", "o-closed"))
async def more_given_back_than_taken(w: World) -> None:
    row = ("o-closed:refund-1", "ref_o-closed:refund-1", "cap_o-closed:1", "o-closed", 10_000, "EUR", "why", NOON)
    await w.add("gateway", "refunds", *row)


@breaks(("journal_is_gateway", "o-short"))
async def money_that_only_the_gateway_knows(w: World) -> None:
    await w.add("gateway", "captures", "cap_o-short:1", "o-short:1", "o-short", 5, "EUR", NOON)


@breaks(("journal_is_gateway", "o-closed"), ("capture_belongs_to_one_order", "o-closed"))
async def money_that_the_gateway_never_took(w: World) -> None:
    await w.break_("gateway", "delete from captures where order_id = 'o-closed'")


@breaks(("capture_belongs_to_one_order", "o-picking"))
async def money_taken_under_another_key(w: World) -> None:
    await w.break_("gateway", "update captures set key = 'o-closed:1' where order_id = 'o-picking'")


@breaks(
    ("capture_belongs_to_one_order", "o-payable"),
    ("journal_is_gateway", "o-payable"),
    ("money_of_phase", "o-payable"),
    ("order_is_papers", "o-payable"),
)
async def money_of_another_order_believed(w: World) -> None:
    """As a forged report did it: o-payable shows the capture of o-closed as its own."""
    await w.break_("order", "update orders set paid = 5 where order_id = 'o-payable'")
    captures = '[["cap_o-closed:1", 5, "2026-11-22T12:00:00+00:00", 0, "o-closed:1"]]'
    await w.add("payment", "payments", "o-payable", "open", "[]", captures)
    await w.add("payment", "journal", "o-payable", "cap_o-closed:1", "captured", 5, NOON, "unasked", None)


@breaks(("journal_is_gateway", "o-ghost"), ("order_is_journal", "o-ghost"), ("journal_is_payment", "o-ghost"))
async def money_of_an_order_that_nobody_knows(w: World) -> None:
    await w.add("payment", "journal", "o-ghost", "cap_o-ghost:1", "captured", 5, NOON, "payment", None)


@breaks(("journal_is_payment", "o-stray"), ("order_is_journal", "o-stray"), ("journal_is_gateway", "o-stray"))
async def refund_missing_in_the_journal(w: World) -> None:
    await w.break_("payment", "delete from journal where order_id = 'o-stray' and kind = 'refunded'")


@breaks(
    ("journal_is_payment", "o-stray"),
    ("refunds_done", "o-stray"),
    ("refused_refund_has_ticket", "o-stray"),
    ("money_of_phase", "o-stray"),
)
async def more_counted_as_given_back_than_is(w: World) -> None:
    await w.break_("payment", "update refunds set phase = 'refused' where order_id = 'o-stray'")


@breaks(("money_of_phase", "o-stray"), ("order_is_papers", "o-stray"), ("order_is_journal", "o-stray"))
async def stray_money_kept(w: World) -> None:
    await w.break_("order", "update orders set refunded = 0 where order_id = 'o-stray'")


@breaks(("money_of_phase", "o-sold-out"), ("order_is_papers", "o-sold-out"), ("order_is_journal", "o-sold-out"))
async def cancelled_order_keeps_a_unit(w: World) -> None:
    await w.break_("order", "update orders set refunded = refunded - 1 where order_id = 'o-sold-out'")


@breaks(("money_of_phase", "o-picking"), ("total_is_lines", "o-picking"))
async def order_worth_more_than_was_paid(w: World) -> None:
    await w.break_("order", "update orders set total = total + 1 where order_id = 'o-picking'")


@breaks(("order_is_papers", "o-closed"))
async def payment_missing_on_the_page(w: World) -> None:
    await w.break_("order", "delete from papers where order_id = 'o-closed' and kind = 'payment'")


@breaks(("refunds_fit_lines", "o-dropped"), ("journal_is_payment", "o-dropped"), ("refund_is_end", "o-dropped"))
async def more_asked_back_than_the_line_was_paid(w: World) -> None:
    await w.break_("payment", "update refunds set amount = amount + 1 where order_id = 'o-dropped'")


@breaks(("refused_refund_has_ticket", "o-dropped"), ("ticket_for_each", "o-dropped"))
async def a_ticket_about_no_refund(w: World) -> None:
    await w.break_("aftersales", "update tickets set kind = 'refund_failed' where order_id = 'o-dropped'")


# -- ways back -----------------------------------------------------------------------------------------------------


@breaks(
    ("returns_fit", "o-returned"),
    ("inspected_is_taken_back", "o-returned"),
    ("papers_show_documents", "o-returned"),
    ("movement_has_paper", "s-1 | 25"),
)
async def goods_that_nobody_received_back(w: World) -> None:
    await w.break_("inventory", "delete from documents where kind = 'return_receipt'")


@breaks(
    ("reversals_fit", "o-dropped"), ("document_moved_once", "AD-o-dropped~2"), ("papers_show_documents", "o-dropped")
)
async def more_written_off_than_was_missing(w: World) -> None:
    row = ("AD-o-dropped~2", "adjustment", STORE, "o-dropped", NOON, '["milk"]', "[-1]", None)
    await w.add("inventory", "documents", *row)


@breaks(("fulfilment_agrees", "o-dropped"))
async def the_old_list_was_picked(w: World) -> None:
    await w.break_("logistics", "update pick_lists set quantities = '[2, 2]' where order_id = 'o-dropped'")


@breaks(("waits_have_timers", "o-calling"))
async def a_shortage_without_deadline(w: World) -> None:
    await w.break_("order", "delete from timers where name = 'shortage_window'")


@breaks(("waits_have_timers", "o-way-back"))
async def goods_that_are_awaited_for_ever(w: World) -> None:
    await w.break_("order", "delete from timers where name = 'return_window'")


@breaks(("tickets_are_counted", "o-calling"))
async def a_ticket_that_the_window_does_not_count(w: World) -> None:
    await w.break_("aftersales", "update windows set open_tickets = 0 where order_id = 'o-calling'")


@breaks(
    ("tickets_are_counted", "o-dropped"),
    ("ticket_is_on_page", "o-dropped"),
    ("closed_has_nothing_open", "o-dropped"),
)
async def a_ticket_that_waits_for_nothing(w: World) -> None:
    await w.break_("aftersales", "update tickets set phase = 'deciding' where order_id = 'o-dropped'")
    await w.break_("aftersales", "update windows set open_tickets = 1 where order_id = 'o-dropped'")


@breaks(("ending_is_known", "o-expired"), ("ending_is_known", "o-returned"))
async def ends_that_risk_never_heard_of(w: World) -> None:
    await w.break_("risk", "delete from endings")  # of those that count for nobody it need not know


@breaks(("ending_is_known", "o-expired"))
async def an_end_that_risk_knows_otherwise(w: World) -> None:
    await w.break_("risk", "update endings set deed = 'cancelled' where order_id = 'o-expired'")


@breaks(("ending_is_known", "o-sold-out"))
async def our_fault_held_against_a_customer(w: World) -> None:
    await w.break_("risk", "update endings set deed = 'cancelled' where order_id = 'o-sold-out'")


@breaks(("ending_is_known", "o-short"))
async def an_order_that_never_was_counted_as_delivered(w: World) -> None:
    await w.break_("risk", "update endings set deed = 'delivered' where order_id = 'o-short'")


@breaks(("ending_is_known", "o-returned"))
async def an_end_held_against_somebody_else(w: World) -> None:
    await w.break_("risk", "update endings set account = 'a-2' where order_id = 'o-returned'")


@breaks(("ending_is_known", "o-payable"), ("ending_is_known", "o-nobodys"))
async def the_end_of_an_order_that_goes_on_and_of_none(w: World) -> None:
    await w.break_("risk", "update endings set order_id = 'o-payable' where order_id = 'o-closed'")
    await w.break_("risk", "update endings set order_id = 'o-nobodys' where order_id = 'o-short'")


# -- phases --------------------------------------------------------------------------------------------------------


@breaks(("one_end", "o-closed"), ("timeline_is_phase", "o-closed"))
async def a_second_end(w: World) -> None:
    await w.add("order", "timeline", "o-closed", NOON, "cancelled", "StockReleased", "")


@breaks(("one_end", "o-closed"))
async def the_same_end_twice(w: World) -> None:
    await w.add("order", "timeline", "o-closed", NOON, "closed", "WindowShut", "")


@breaks(("one_end", "o-payable"))
async def an_ended_order_revived(w: World) -> None:
    await w.add("order", "timeline", "o-payable", NOON, "releasing", "PaymentExpired", "")
    await w.add("order", "timeline", "o-payable", NOON, "cancelled", "StockReleased", "")
    await w.add("order", "timeline", "o-payable", NOON, "awaiting_payment", "StockHeld", "")


@breaks(("timeline_is_phase", "o-closed"))
async def an_end_that_is_not_marked(w: World) -> None:
    await w.break_("order", "update orders set ended = false where order_id = 'o-closed'")


@breaks(("slot_is_kept", "o-delivered"), ("timeline_is_phase", "o-delivered"), ("life_in_order", "o-delivered"))
async def money_asked_for_when_the_slot_had_begun(w: World) -> None:
    await w.add("order", "timeline", "o-delivered", SLOT, "paying", "StockVerified", "")


@breaks(("timeline_is_phase", "o-review"))
async def a_timeline_lost(w: World) -> None:
    await w.break_("order", "delete from timeline where order_id = 'o-review'")


@breaks(("somebody_answers", "o-stuck"))
async def an_order_that_nobody_answers(w: World) -> None:
    await w.tell(Tale("o-stuck", "holding", {"milk": 1}), without=(("inventory", "holds"), ("inventory", "ledger")))


@breaks(("phase_is_known", "o-review"), ("timeline_is_phase", "o-review"), ("screening_agrees", "o-review"))
async def a_phase_that_the_auditor_does_not_know(w: World) -> None:
    await w.break_("order", "update orders set phase = 'dreaming' where order_id = 'o-review'")


# -- the others ----------------------------------------------------------------------------------------------------


@breaks(("fulfilment_agrees", "o-picking"))
async def the_store_is_further_than_the_order(w: World) -> None:
    await w.break_("logistics", "update fulfilments set phase = 'packed' where order_id = 'o-picking'")


@breaks(("fulfilment_agrees", "o-payable"))
async def the_store_works_on_an_unpaid_order(w: World) -> None:
    await w.add("logistics", "fulfilments", "o-payable", STORE, "queued", NOON)


@breaks(("fulfilment_agrees", "o-delivered"))
async def the_store_picks_other_pieces(w: World) -> None:
    await w.break_("logistics", "update pick_lists set quantities = '[2]' where order_id = 'o-delivered'")


@breaks(("slot_agrees", "o-expired"), ("places_are_reservations", f"s-1 | {SLOT.isoformat()}"))
async def a_place_not_given_back(w: World) -> None:
    await w.break_("logistics", "update reservations set phase = 'reserved' where order_id = 'o-expired'")


@breaks(("places_are_reservations", f"s-1 | {SLOT.isoformat()}"))
async def a_place_too_many_in_the_slot(w: World) -> None:
    await w.break_("logistics", "update slots set reserved = 4")


@breaks(("slot_agrees", "o-queued"), ("places_are_reservations", f"s-1 | {SLOT.isoformat()}"))
async def an_order_without_its_place(w: World) -> None:
    await w.break_("logistics", "delete from reservations where order_id = 'o-queued'")


@breaks(("window_agrees", "o-closed"))
async def a_window_missing(w: World) -> None:
    await w.break_("aftersales", "delete from windows where order_id = 'o-closed'")


@breaks(("window_agrees", "o-delivered"))
async def a_window_shut_unheard(w: World) -> None:
    await w.break_("aftersales", "update windows set phase = 'shut' where order_id = 'o-delivered'")


@breaks(("screening_agrees", "o-payable"), ("screening_is_verdict", "o-payable"))
async def a_lock_for_a_restricted_order(w: World) -> None:
    await w.break_("risk", "update screenings set phase = 'restricted' where order_id = 'o-payable'")


@breaks(("screening_agrees", "o-refused"), ("screening_is_verdict", "o-refused"), ("waits_have_timers", "o-refused"))
async def a_review_that_outlives_its_order(w: World) -> None:
    await w.break_("risk", "update screenings set phase = 'in_review' where order_id = 'o-refused'")


@breaks(("screening_agrees", "o-refused"))
async def refused_by_nobody(w: World) -> None:
    await w.break_("risk", "delete from screenings where order_id = 'o-refused'")


@breaks(("screening_is_verdict", "o-payable"))
async def a_lock_for_an_order_that_was_refused(w: World) -> None:
    row = "verdict = 'refuse', reason = 'account_blocked'"
    await w.break_("risk", f"update screenings set {row} where order_id = 'o-payable'")


@breaks(("screening_is_verdict", "o-review"), ("verdict_has_cause", "o-review"))
async def a_review_that_nobody_asked_for(w: World) -> None:
    await w.break_("risk", "update screenings set verdict = 'restrict' where order_id = 'o-review'")


@breaks(("claim_ends_with_review", "o-review"))
async def a_claim_without_an_end(w: World) -> None:
    await w.break_("risk", "update reviews set claimed_by = 'ra-1'")


@breaks(("verdict_has_cause", "o-checked"))
async def restricted_by_rules_of_which_none_spoke(w: World) -> None:
    await w.break_("risk", "update screenings set spoke = null, score = 0 where order_id = 'o-checked'")


@breaks(("verdict_has_cause", "o-checked"))
async def a_sum_that_is_none(w: World) -> None:
    await w.break_("risk", "update screenings set score = 41 where order_id = 'o-checked'")


@breaks(("verdict_has_cause", "o-checked"))
async def a_rule_that_spoke_too_early(w: World) -> None:
    await w.break_("risk", "update screenings set spoke = replace(spoke, '2, 1', '1, 2') where order_id = 'o-checked'")


@breaks(("verdict_has_cause", "o-payable"))
async def cleared_although_a_rule_spoke(w: World) -> None:
    row = """score = 40, spoke = '[["many_orders", 2, 1, 40]]'"""
    await w.break_("risk", f"update screenings set {row} where order_id = 'o-payable'")


@breaks(("screening_agrees", "o-refused"), ("verdict_has_cause", "o-refused"))
async def blocked_for_less_than_the_rules_say(w: World) -> None:
    row = """score = 150, spoke = '[["many_orders", 2, 1, 150]]', verdict = 'restrict', reason = 'account_restricted'"""
    await w.break_("risk", f"update screenings set {row}, phase = 'restricted' where order_id = 'o-refused'")


@breaks(*(("verdict_has_cause", order_id) for order_id in ("o-checked", "o-delivered", "o-sold-out")))
async def a_rule_that_spoke_although_it_is_off(w: World) -> None:
    await w.break_("risk", """update rule_sets set rules = replace(rules, 'true', 'false')""")


@breaks(("verdict_has_cause", "o-payable"))
async def a_reason_for_nothing(w: World) -> None:
    await w.break_("risk", "update screenings set reason = 'device_restricted' where order_id = 'o-payable'")


@breaks(("verdict_has_cause", "o-payable"))
async def switched_off_and_cleared(w: World) -> None:
    await w.break_("risk", "update screenings set reason = 'risk_switched_off' where order_id = 'o-payable'")


# -- prices --------------------------------------------------------------------------------------------------------


@breaks(*(("price_is_promotions", order_id) for order_id in ("o-again", "o-gift", "o-priced")))
async def a_promotion_that_takes_more_than_it_says(w: World) -> None:
    await w.break_("order", """update promotion_revisions set body = replace(body, '"value": 10', '"value": 9')""")


@breaks(*(("price_is_promotions", order_id) for order_id in ("o-again", "o-gift", "o-priced")))
async def a_better_promotion_passed_over(w: World) -> None:
    await w.revise("half", {"kind": "percent", "value": 50, "spus": ["pear"]})


@breaks(("price_is_promotions", "o-mango"))
async def an_ordinary_order_that_a_promotion_was_for(w: World) -> None:
    await w.revise("exotic", {"kind": "percent", "value": 1, "spus": ["mango"], "stores": [STORE]})


@breaks(("price_is_promotions", "o-priced"))
async def a_promotion_of_other_goods(w: World) -> None:
    await w.break_("order", """update promotion_revisions set body = replace(body, '"hot"', '"cold"')""")


@breaks(("price_is_promotions", "o-priced"))
async def a_promotion_before_its_time(w: World) -> None:
    body = {"kind": "amount_off", "value": 100, "min_total": 500, "spus": ["pear", "tea"]}
    await w.revise("whole", {**body, "starts_at": (NOON + timedelta(seconds=1)).isoformat()})


@breaks(("price_is_promotions", "o-priced"))
async def a_promotion_in_another_store(w: World) -> None:
    await w.break_(
        "order", """update promotion_revisions set body = replace(body, '500,', '500, "stores": ["s-2"],')"""
    )


@breaks(("price_is_promotions", "o-again"))
async def a_revision_that_never_was(w: World) -> None:
    await w.break_(
        "order",
        """update baskets set discounts = replace(discounts, '"ten", 2', '"ten", 3')
        where order_id = 'o-again'""",
    )


@breaks(("price_is_promotions", "o-again"))
async def a_revision_that_was_over(w: World) -> None:
    await w.break_(
        "order",
        """update baskets set discounts = replace(discounts, '"ten", 2', '"ten", 1')
        where order_id = 'o-again'""",
    )


@breaks(("price_is_promotions", "o-priced"), ("claims_within_limit", "a-1 | whole"))
async def another_limit_than_the_promotion_has(w: World) -> None:
    await w.break_(
        "order",
        """update baskets set discounts = replace(discounts, '[21, 79], 1, 0', '[21, 79], 1, 9')
        where order_id = 'o-priced'""",
    )
    await w.add("order", "claims", "a-1", "whole", "o-priced", 1)


@breaks(("price_is_promotions", "o-gift"))
async def a_coupon_that_the_order_does_not_name(w: World) -> None:
    await w.break_("order", """update baskets set discounts = replace(discounts, '["gift"], []', '[], []')""")


@breaks(("price_is_promotions", "o-gift"))
async def a_coupon_of_another_account(w: World) -> None:
    await w.break_(
        "order", """update promotion_revisions set body = replace(body, '"a-1"', '"a-2"') where id = 'gift'"""
    )


@breaks(("price_is_promotions", "o-again"))
async def a_promotion_that_was_refused_to_the_order(w: World) -> None:
    await w.break_(
        "order",
        """update baskets set discounts = replace(discounts, '["welcome"], ["ten"]', '["ten"], ["ten"]')
        where order_id = 'o-again'""",
    )


@breaks(
    *((rule, "o-again") for rule in ("price_is_promotions", "total_is_lines", "pieces_claimed_once")),
)
async def a_line_below_zero(w: World) -> None:
    await w.break_(
        "order", "update baskets set discounts = replace(discounts, '[20]', '[203]') where order_id = 'o-again'"
    )


@breaks(("refused_was_used_up", "o-again | five"))
async def a_promotion_without_a_limit_that_was_refused(w: World) -> None:
    await w.break_(
        "order",
        """update baskets set discounts = replace(discounts, '["welcome"], ["ten"]', '["welcome", "five"], ["ten"]')
        where order_id = 'o-again'""",
    )


@breaks(("refused_was_used_up", "o-again | lonely"))
async def a_promotion_refused_that_nobody_had(w: World) -> None:
    await w.revise("lonely", {"kind": "percent", "value": 1, "spus": ["pear"], "per_account": 1})
    await w.break_(
        "order",
        """update baskets set discounts = replace(discounts, '["welcome"], ["ten"]', '["welcome", "lonely"], ["ten"]')
        where order_id = 'o-again'""",
    )


@breaks(("claims_are_kept", "o-dawn"))
async def a_claim_that_was_not_kept(w: World) -> None:
    await w.break_("order", "delete from claims where order_id = 'o-dawn'")


@breaks(("claims_are_kept", "o-dawn"))
async def a_claim_of_another_account(w: World) -> None:
    await w.break_("order", "update claims set account = 'a-2' where order_id = 'o-dawn'")


@breaks(("claims_are_kept", "o-dawn"))
async def fewer_pieces_claimed_than_bought(w: World) -> None:
    await w.break_("order", "update claims set units = 1 where order_id = 'o-dawn'")


@breaks(("claims_are_kept", "o-expired"))
async def a_claim_that_was_not_given_back(w: World) -> None:
    await w.add("order", "claims", "a-1", "dawn", "o-expired", 1)


@breaks(("claims_are_kept", "o-nobody"))
async def a_claim_of_an_order_that_nobody_knows(w: World) -> None:
    await w.add("order", "claims", "a-2", "welcome", "o-nobody", 1)


@breaks(("claims_are_kept", "o-payable"), ("claims_within_limit", "a-1 | welcome"))
async def a_coupon_used_twice(w: World) -> None:
    await w.add("order", "claims", "a-1", "welcome", "o-payable", 1)


@breaks(("claims_are_kept", "o-payable"), ("claims_within_limit", "a-1 | five"))
async def a_claim_on_what_has_no_limit(w: World) -> None:
    await w.add("order", "claims", "a-1", "five", "o-payable", 1)


@breaks(
    *(
        (rule, order_id)
        for rule in ("paid_first_served_first", "waiting_order_holds")
        for order_id in ("o-dawn", "o-mango")
    )
)
async def locked_what_is_first_paid_first_served(w: World) -> None:
    await w.break_("order", "update orders set hold_mode = 'lock' where order_id in ('o-dawn', 'o-mango')")


@breaks(("paid_first_served_first", "o-payable"), ("paid_first_served_first", "o-short"))
async def locked_in_a_rush(w: World) -> None:
    rush = (
        "rush-2",
        None,
        '["bread"]',
        NOON - timedelta(hours=1),
        NOON + timedelta(hours=1),
        NOON - timedelta(hours=2),
    )
    await w.add("order", "rushes", *rush)


# -- pieces beside the shelf ---------------------------------------------------------------------------------------


@breaks(("allotments_are_cells", "s-1 | dawn"))
async def a_sale_that_counted_more_than_it_sold(w: World) -> None:
    await w.break_("inventory", "update allotments set sold = 3")


@breaks(("allotments_are_cells", "s-1 | dawn"))
async def a_sale_that_is_over_and_kept_its_pieces(w: World) -> None:
    await w.break_("inventory", "update allotments set phase = 'over'")


@breaks(("allotments_are_cells", "s-1 | dawn"))
async def pieces_set_aside_for_nobody(w: World) -> None:
    await w.break_("inventory", "delete from allotments")


@breaks(("allotments_are_cells", "s-1 | dawn"))
async def a_sale_that_nothing_ends(w: World) -> None:
    await w.break_("inventory", "delete from timers")


@breaks(("pieces_come_from_where", "o-dawn"))
async def a_price_of_a_sale_for_pieces_of_the_shelf(w: World) -> None:
    await w.break_("inventory", "update ledger set spus = '[\"cake\"]' where order_id = 'o-dawn'")
    await w.break_("inventory", "update cells set on_hand = on_hand - 2 where spu = 'cake'")
    await w.break_("inventory", "update cells set on_hand = on_hand + 2 where spu = 'cake|dawn'")
    await w.break_("inventory", "update allotments set sold = 0")


@breaks(
    *((rule, "o-dawn") for rule in ("pieces_come_from_where", "total_is_lines", "pieces_claimed_once")),
    *((rule, "o-dawn") for rule in ("price_is_promotions", "claims_are_kept")),
)
async def pieces_of_a_sale_at_the_ordinary_price(w: World) -> None:
    await w.break_("order", "update baskets set discounts = null where order_id = 'o-dawn'")


@breaks(("pieces_come_from_where", "o-mango"))
async def goods_to_come_that_the_order_does_not_wait_for(w: World) -> None:
    await w.break_("order", "update baskets set presale = null where order_id = 'o-mango'")


@breaks(("movement_has_paper", "s-1 | 2"), ("cells_are_ledger_sums", "s-1 | cake|dawn"))
async def pieces_set_aside_that_were_never_there(w: World) -> None:
    await w.break_("inventory", "update ledger set on_hand = '[-5, 6]' where kind = 'allot'")


@breaks(
    ("movement_has_paper", "s-1 | 3"),
    ("cells_are_ledger_sums", "s-1 | mango|+incoming"),
    ("cells_are_ledger_sums", "s-1 | mango"),
    ("stock_never_negative", "s-1 | mango|+incoming"),
)
async def goods_to_come_that_are_on_the_shelf(w: World) -> None:
    await w.break_("inventory", "update ledger set spus = '[\"mango\"]' where kind = 'expect'")


@breaks(("movement_has_paper", "s-1 | 41"), ("cells_are_ledger_sums", "s-1 | mango|+owed"))
async def goods_that_came_and_are_owed_still(w: World) -> None:
    await w.break_("inventory", "update ledger set on_hand = '[-1, 0]' where kind = 'arrive'")


@breaks(("movement_has_paper", "s-1 | 39"), ("cells_are_ledger_sums", "s-1 | mango|+owed"))
async def goods_to_come_that_nobody_owes(w: World) -> None:
    await w.break_("inventory", "update ledger set on_hand = '[-2, 1, -1]' where order_id = 'o-mango'")


# -- messages ------------------------------------------------------------------------------------------------------


@breaks(("links_are_even", "order/0 inventory.commands/0"))
async def a_message_that_never_arrived(w: World) -> None:
    await w.break_("inventory", """update progress set received = '{"order/0 inventory.commands": 19}'""")


@breaks(("links_are_even", "risk/0 risk.events/0"))
async def more_received_than_sent(w: World) -> None:
    await w.break_(
        "order",
        "update progress set received = replace(received, '\"risk/0 risk.events\": 13', '\"risk/0 risk.events\": 14')",
    )


@breaks(("links_are_even", "order/0 aftersales.commands/0"))
async def a_receiver_that_never_began(w: World) -> None:
    await w.break_("aftersales", "update progress set received = '{}'")
    await w.break_("order", "update outbox set first_link = 1 where topic = 'aftersales.commands' and first_link = 2")


@breaks(("outbox_is_whole", "order/0 inventory.commands/0"))
async def a_gap_in_the_outbox(w: World) -> None:
    await w.break_("order", "update outbox set last_link = 18 where last_link = 19")


@breaks(("outbox_is_whole", "payment/0 payment.events/0"))
async def an_outbox_that_ends_early(w: World) -> None:
    await w.break_("payment", "delete from outbox where last_link = 10")


@breaks(
    ("outbox_is_whole", "order/0 logistics.commands/0"),
    ("links_are_even", "order/0 logistics.commands/0"),
)
async def a_message_swept_before_it_arrived(w: World) -> None:
    await w.break_("logistics", """update progress set received = '{"order/0 logistics.commands": 2}'""")


@breaks(("nothing_of_ours_parked", "order:1"))
async def a_message_of_ours_parked(w: World) -> None:
    headers = '[["ce_type", "U3RvY2tIZWxk"], ["link", "MQ=="]]'
    await _park(w, "no_cell", headers)


@breaks(("nothing_of_ours_parked", "order:1"))
async def a_decider_that_raised(w: World) -> None:
    await _park(w, "decider_raised", "[]")


@breaks(("nothing_of_ours_parked", "order:1"))
async def a_timer_that_parked(w: World) -> None:
    await _park(w, "no_cell", "[]", topic="timers")


@breaks(("due_timers_fired", "o-payable/payment_window"))
async def a_timer_that_did_not_fire(w: World) -> None:
    await w.break_("order", "update timers set due_at = now() - interval '1 hour' where subject = 'o-payable'")


@breaks(("waits_have_timers", "o-delivered"))
async def a_window_that_nothing_shuts(w: World) -> None:
    await w.break_("aftersales", "delete from timers")


@breaks(("effects_closed", "o-closed:1"))
async def an_effect_left_behind(w: World) -> None:
    await w.add("payment", "effects", "o-closed:1", 0, "charge", '{"order_id": "o-closed"}', NOON - timedelta(hours=1))


@breaks(("webhooks_delivered", "evt_1"))
async def a_webhook_that_nobody_takes(w: World) -> None:
    await w.add("gateway", "webhooks", "evt_1", '{"data": {"order_id": "o-closed"}}', NOON - timedelta(days=9), NOON)


@breaks(("accepted_is_there", "o-lost"))
async def an_accepted_order_that_does_not_exist(w: World) -> None:
    await w.add("order", "answers", "c-lost", 0, NOON, True, None, "o-lost", "", "")


Harmless = Callable[[World], Awaitable[None]]


async def just_written(w: World) -> None:
    """An order may have read the revision before."""
    await w.revise("half", {"kind": "percent", "value": 50, "spus": ["pear"]}, NOON - timedelta(seconds=2))


async def written_later(w: World) -> None:
    """What was changed since changes no order."""
    await w.revise("ten", {"kind": "percent", "value": 50, "spus": ["pear"]}, NOON + timedelta(minutes=1))
    rush = ("rush-2", None, "[]", NOON - timedelta(hours=1), NOON + timedelta(hours=1), NOON + timedelta(minutes=1))
    await w.add("order", "rushes", *rush)


async def moved_to_another_category(w: World) -> None:
    """Nobody knows any more in which it was."""
    await w.break_("order", "update products set category = 'cold', updated_at = now() where spu = 'tea'")


async def from_the_shelf_when_the_sale_was_over(w: World) -> None:
    """Who has paid gets the pieces from where they are; the sale ends while the money is moved."""
    w_ends = {"ends_at": (NOON + timedelta(seconds=1)).isoformat()}
    await w.revise("dawn", {"kind": "flash", "value": 250, "spus": ["cake"], "per_account": 3, **w_ends}, NOON)
    await w.break_("inventory", "update ledger set spus = '[\"cake\"]' where order_id = 'o-dawn'")
    await w.add("inventory", "ledger", STORE, NOON, "allot", None, None, '["cake", "cake|dawn"]', "[5, -5]", "[0, 0]")
    await w.break_("inventory", "update cells set on_hand = on_hand + 3 where spu = 'cake'")
    await w.break_("inventory", "update cells set on_hand = 0 where spu = 'cake|dawn'")
    await w.break_("inventory", "update allotments set phase = 'over'")
    await w.break_("inventory", "delete from timers")


async def told_of_a_sale(w: World) -> None:
    """A command may be about a promotion."""
    await w.add("order", "answers", "c-dawn", 0, NOON, True, None, "dawn", "", "")


async def refused_as_its_pieces_were_gone(w: World) -> None:
    """A sale has no more pieces in this store: nobody of the account need have had any."""
    await w.break_(
        "order",
        """update baskets set discounts = '[[], [], ["dawn"], [], "2026-11-22T12:00:00+00:00"]'
        where order_id = 'o-mango'""",
    )


@pytest.mark.parametrize(
    "harmless",
    [
        just_written,
        written_later,
        moved_to_another_category,
        from_the_shelf_when_the_sale_was_over,
        told_of_a_sale,
        refused_as_its_pieces_were_gone,
    ],
)
async def test_what_may_be_is_no_violation(world: World, harmless: Harmless):
    """Not everything that looks odd is wrong."""
    await harmless(world)
    assert (await world.audit()).violations == []


async def test_an_spu_set_aside_twice_is_named(world: World):
    """The index of the table forbids it, and the auditor does not trust the index."""
    inventory = world.of["inventory"]
    await inventory.execute("drop index allotments_open")
    try:
        await world.add("inventory", "allotments", STORE, "dusk", "open", "cake", 0, 0, None)
        report = await world.audit()
    finally:
        await inventory.execute("delete from allotments")
        await inventory.execute("create unique index allotments_open on allotments (store, spu) where phase = 'open'")
    assert [v.rule for v in report.violations] == ["allotments_are_cells"]


@pytest.mark.parametrize(("broken", "named"), CASES)
async def test_violation_is_named(world: World, broken: Broken, named: Found):
    """Whatever is broken is named, with its ids, and nothing else is."""
    await broken(world)
    report = await world.audit()
    assert {(v.rule, v.ids) for v in report.violations} == named, "\n".join(map(str, report.violations))
    assert all(v.detail for v in report.violations)


async def test_command_answered_twice_is_named(world: World):
    """The key of the table forbids it, and the auditor does not trust the key."""
    order = world.of["order"]
    await order.execute("alter table answers drop constraint answers_pkey")
    try:
        await world.add("order", "answers", "c-o-closed", 0, NOON, True, None, "o-closed", "", "")
        report = await world.audit()
    finally:
        await order.execute("delete from answers")
        await order.execute("alter table answers add primary key (id)")
    assert [(v.rule, v.ids) for v in report.violations] == [("answered_once", ("c-o-closed",))]


async def _park(w: World, code: str, headers: str, *, topic: str = "inventory.events") -> None:
    row = (0, "o-closed", topic, 0, 7, "id-7", "StockHeld", headers, code, "why", NOON)
    await w.add("order", "parked", *row)
