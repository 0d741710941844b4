"""Promotions at random, for whatever must hold with all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from services.order.promotions import Kind, Promotion
from tests.deciders.scene import NOON

SPUS = ("milk", "bread", "oat", "tea")
CATEGORIES = {"milk": "dairy", "bread": "bakery", "oat": "dairy", "tea": "other"}
AMOUNTS = st.one_of(st.integers(0, 12), st.integers(0, 700), st.integers(0, 10**9))
"""Of money: few units (yen), some hundreds (cents), many (fils)."""
scopes = st.sampled_from([frozenset[str](), frozenset({"milk", "bread"}), frozenset({"oat"})])
"""Nothing named is everything."""


def promotions(kind: Kind) -> st.SearchStrategy[Promotion]:
    """Any promotion that may be written: of any scope, mostly one that is on; not named yet."""
    amounts = st.one_of(st.integers(0, 3), AMOUNTS)
    return st.builds(
        Promotion,
        id=st.just(""),
        revision=st.just(1),
        kind=st.just(kind),
        starts_at=st.sampled_from([NOON - timedelta(hours=1)] * 5 + [NOON + timedelta(hours=1)]),
        ends_at=st.sampled_from([NOON + timedelta(hours=2)] * 5 + [NOON]),
        value=st.sampled_from([0, 1, 33, 50, 99, 100]) if kind is Kind.PERCENT else amounts,
        n=st.integers(2, 5),
        m=st.integers(0, 2),
        spus=scopes,
        categories=st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"dairy"})]),
        stores=st.sampled_from([frozenset[str](), frozenset({"s-1"}), frozenset({"s-2"})]),
        min_total=st.just(0) if kind is Kind.FLASH else st.one_of(st.just(0), amounts),
        per_account=st.just(1) if kind is Kind.COUPON else st.sampled_from([0, 1, 5]),
    )


def promotion(kind: Kind, id_: str = "p", **fields: Any) -> Promotion:
    """One that is on for an hour from noon."""
    return Promotion(id_, 1, kind, NOON, NOON + timedelta(hours=1), **fields)
