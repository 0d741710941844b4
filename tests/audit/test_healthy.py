"""Books that add up."""

import subprocess
import sys

import pytest

from larder.audit.rules import LIFE_RULES
from tests.audit.controls import IN_FLIGHT, ORDERS, World

pytestmark = pytest.mark.parts


async def test_healthy_world_has_no_violation(world: World):
    """Every way that an order can go is clean, and what has not ended is counted by its phase."""
    report = await world.audit()
    assert report.violations == []
    assert report.orders == ORDERS
    assert report.in_flight.orders == IN_FLIGHT
    assert report.in_flight.is_quiet
    assert report.parked_count == 0


async def test_every_rule_looked_at_something(world: World):
    """A rule that is held against nothing proves nothing: the healthy world has something for each, apart from what
    must not be there at all."""
    report = await world.audit()
    asked = {rule.__name__ for rule in LIFE_RULES}
    asked -= {"somebody_answers", "refused_refund_has_ticket", "reports_looked_up"}
    # Nobody complains here; the evening of test_two_sources, in which people do, has something for each of these.
    asked -= {"replacement_has_master", "replacement_moves_no_money", "replaced_or_refunded", "return_is_ticket"}
    asked -= {"tickets_pay_what_was_paid", "refunds_are_compensations"}
    asked |= {"cells_are_ledger_sums", "stock_never_negative", "movement_has_paper", "document_moved_once"}
    asked |= {"places_are_reservations", "links_are_even", "outbox_is_whole", "answered_once"}
    assert asked <= {rule for rule, count in report.checked.items() if count}


async def test_empty_books_are_clean(world: World):
    """A stack that nothing has happened in yet has nothing wrong with it."""
    await world.empty()
    report = await world.audit()
    assert report.is_clean
    assert report.orders == 0


def test_auditor_imports_no_service():
    """What decides must not be what judges: no module of a service is loaded with the auditor."""
    code = "import larder.audit, sys; print([m for m in sys.modules if m.startswith('services.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
