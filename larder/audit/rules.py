"""The rules about single orders: each a pure function of a `Life`, whichever source the life was gathered from.

A rule answers None where it does not concern the life, an empty text where all is well, else what is wrong. To add one,
write the function, with a docstring that says what must be true, and name it here: `larder audit` and the simulation
both ask it from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from larder.audit import after_sales, issues, leftovers, money, neighbours, phases, prices, tickets, verdicts
from larder.audit.life import Life

Rule = Callable[[Life], str | None]

LIFE_RULES: tuple[Rule, ...] = (
    phases.phase_is_known,
    phases.somebody_answers,
    phases.timeline_is_phase,
    phases.life_in_order,
    phases.one_end,
    phases.end_has_reason,
    phases.slot_is_kept,
    phases.never_early,
    phases.accepted_is_there,
    issues.issued_is_wanted,
    issues.reversals_fit,
    issues.returns_fit,
    issues.papers_show_documents,
    issues.no_hold_outlives_order,
    issues.waiting_order_holds,
    issues.hold_is_its_moves,
    issues.pieces_come_from_where,
    issues.hold_is_fulfilment,
    issues.inspected_is_taken_back,
    issues.steps_back_are_phase,
    money.total_is_lines,
    prices.price_is_promotions,
    prices.claims_are_kept,
    prices.paid_first_served_first,
    money.attempts_over,
    money.reports_looked_up,
    money.refunds_done,
    money.money_of_phase,
    money.refused_refund_has_ticket,
    money.refunds_fit_lines,
    money.refund_is_end,
    money.refunds_are_compensations,
    money.replacement_moves_no_money,
    money.order_is_papers,
    money.order_is_journal,
    money.journal_is_payment,
    money.journal_is_gateway,
    money.capture_belongs_to_one_order,
    money.gateway_keeps_its_sums,
    neighbours.fulfilment_agrees,
    neighbours.steps_in_order,
    neighbours.slot_agrees,
    neighbours.window_agrees,
    neighbours.screening_agrees,
    neighbours.ending_is_known,
    neighbours.short_is_our_fault,
    verdicts.screening_is_verdict,
    verdicts.claim_ends_with_review,
    verdicts.verdict_has_cause,
    tickets.tickets_are_counted,
    tickets.ticket_tells_truth,
    tickets.ticket_for_each,
    tickets.ticket_is_on_page,
    after_sales.pieces_claimed_once,
    after_sales.tickets_pay_what_was_paid,
    after_sales.returns_are_documents,
    after_sales.return_is_ticket,
    after_sales.replacement_has_master,
    after_sales.replaced_or_refunded,
    after_sales.closed_has_nothing_open,
    leftovers.waits_have_timers,
)
NOT_WHILE_BUSY = (*money.WITH_GATEWAY, phases.somebody_answers)
"""Rules that cannot be asked while money is being moved for an order: it waits for an answer that is under way."""
AT_REST = (*LIFE_RULES, phases.every_order_ends, after_sales.nothing_is_awaited)
"""What must be true when there is nothing left to do for anybody: where an evening is played to its end."""
_NAMED, _NAMED_AT_REST, _NAMED_WHILE_BUSY = (
    tuple((rule.__name__, rule) for rule in rules)
    for rules in (LIFE_RULES, AT_REST, [rule for rule in LIFE_RULES if rule not in NOT_WHILE_BUSY])
)


def judge(life: Life, checked: Counter[str], *, is_busy: bool = False, at_rest: bool = False) -> list[tuple[str, str]]:
    """The rules that a life breaks, and how; counts in `checked` which it was held against. While `is_busy` money is
    being moved for it; `at_rest` nothing will ever happen any more."""
    found = []
    for name, rule in _NAMED_AT_REST if at_rest else _NAMED_WHILE_BUSY if is_busy else _NAMED:
        try:
            wrong = rule(life)
        except (ValueError, TypeError, KeyError) as error:
            wrong = f"a column does not hold what it should: {type(error).__name__}: {error}"
        if wrong is not None:
            checked[name] += 1
            if wrong:
                found.append((name, wrong))
    return found
