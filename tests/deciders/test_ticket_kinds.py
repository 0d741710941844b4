"""A kind of ticket is known wherever kinds are told apart, and to the auditor, in words of its own."""

from __future__ import annotations

from typing import get_args

from larder.audit import tickets as audited
from services.aftersales.api import TicketIn
from services.aftersales.reading import ABOUT_GOODS, APPROVED_BY_PEOPLE, REPLACES
from services.aftersales.tickets import CALLS
from shared.contracts import aftersales

KINDS = set(get_args(aftersales.TicketKind))
BECOME_OTHERS = {"intercept", "quality"}
"""Kinds that a person may make a kind about goods of."""


def test_every_kind_is_read_as_one_thing() -> None:
    """Claims goods, waits for a person's yes, asks for a call, or becomes another: one of them, and only one."""
    groups = [ABOUT_GOODS, APPROVED_BY_PEOPLE, {CALLS}, BECOME_OTHERS]
    assert sorted(kind for group in groups for kind in group) == sorted(KINDS)
    assert set(get_args(aftersales.GoodsKind)) == ABOUT_GOODS > REPLACES


def test_the_auditor_knows_what_every_kind_waits_for() -> None:
    """Else a ticket that waits for ever is nothing to it, or every one of them."""
    assert {*audited.DECIDED_BY_PEOPLE, *audited.ABOUT_GOODS, *audited.WAITS} == KINDS


def test_what_people_may_open_is_what_the_contract_takes() -> None:
    """Over HTTP as through the log."""
    opened = set(get_args(TicketIn.model_fields["kind"].annotation))
    assert opened == set(get_args(aftersales.OpenTicket.model_fields["kind"].annotation)) < KINDS
