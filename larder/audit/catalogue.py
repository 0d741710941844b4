"""What prices were made of, as it was: promotions revision by revision, categories, and rushes.

Master data are read by each batch before it decides, so what was written a moment before an order was priced may not
have been seen, and clocks differ: within `WRITTEN_S` of it nobody can say which of two revisions an order read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

WRITTEN_S = 5.0
"""How long what was written may be unseen by an order, seconds: a batch that was loaded before, and two clocks."""
_WRITTEN = timedelta(seconds=WRITTEN_S)
_Scope = tuple[str, str | None]
"""What a promotion is about: an SPU, a category (None: one that nobody knows), or all goods."""
_ALWAYS = datetime.max.replace(tzinfo=UTC)


class Promotion(NamedTuple):
    """One revision of a promotion, from `written` on; money in minor units. `limit`: how many orders of an account may
    have it, of a flash sale how many pieces; 0: as many as they like."""

    id: str
    revision: int
    written: datetime
    kind: str
    starts_at: datetime
    ends_at: datetime
    value: int
    n: int
    m: int
    spus: frozenset[str]
    categories: frozenset[str]
    stores: frozenset[str]
    min_total: int
    limit: int
    account: str

    def is_on(self, store: str, at: datetime) -> bool:
        """Whether this revision is in force in a store at an instant, as long as it is the newest."""
        return self.starts_at <= at < self.ends_at and (not self.stores or store in self.stores)

    def covers(self, spu: str, category: str | None) -> bool:
        """Whether it is about an SPU; of one in no category that is known, categories say nothing."""
        return not (self.spus or self.categories) or spu in self.spus or category in self.categories


class Rush(NamedTuple):
    """A time in which a store (empty: each) sells first paid, first served: orders with one of these SPUs (none: all of
    them). `written`: when it was changed last."""

    store: str
    spus: frozenset[str]
    starts_at: datetime
    ends_at: datetime
    written: datetime


class Catalogue:
    """All that was written: rows of [id, revision, body, written], of [SPU, category, written], and of [store, SPUs,
    starts at, ends at, written]; lists and bodies are JSON."""

    def __init__(
        self,
        revisions: Iterable[Sequence[Any]] = (),
        products: Iterable[Sequence[Any]] = (),
        rushes: Iterable[Sequence[Any]] = (),
    ) -> None:
        self.revisions: dict[str, list[Promotion]] = {}
        for row in sorted(revisions, key=lambda row: (row[0], row[1])):
            self.revisions.setdefault(row[0], []).append(_promotion(*row))
        self._categories = {spu: (category, written + _WRITTEN) for spu, category, written in products}
        self.rushes = tuple(
            Rush(store or "", frozenset(msgspec.json.decode(spus)), *times) for store, spus, *times in rushes
        )
        self._newest = [
            (max(one.written, one.starts_at), min(until, one.ends_at), one)
            for some in self.revisions.values()
            for one, until in zip(some, [*(later.written for later in some[1:]), _ALWAYS], strict=True)
            if one.kind != "coupon"
        ]
        self._borders = sorted({border for begin, end, _ in self._newest for border in (begin, end)})
        self._written = sorted((one.written, one.id) for some in self.revisions.values() for one in some)
        self._between: dict[int, dict[_Scope, list[Promotion]]] = {}

    def in_force(self, store: str, at: datetime, goods: Iterable[tuple[str, str | None]]) -> list[Promotion]:
        """The automatic promotions that were on for some of these goods (SPU, category), at their newest revision; of
        goods in a category that nobody knows, all that are about categories."""
        place = bisect_right(self._borders, at)
        about = self._between.get(place)
        if about is None:  # nothing changes between two borders
            about = self._between[place] = _by_scope(p for begin, end, p in self._newest if begin <= at < end)
        if not about:
            return []
        found = {p.id: p for p in about.get(("all", ""), ())}
        for spu, category in goods:
            for scope in (("spu", spu), ("category", category)):
                if scope in about:
                    found |= {p.id: p for p in about[scope]}
        return [p for p in found.values() if not p.stores or store in p.stores]

    def coupon(self, id_: str, store: str, at: datetime) -> Promotion | None:
        """A coupon as it was, if it was on."""
        known = [one for one in self.revisions.get(id_, ()) if one.written <= at]
        return known[-1] if known and known[-1].kind == "coupon" and known[-1].is_on(store, at) else None

    def revision(self, id_: str, number: int) -> Promotion | None:
        """One revision of a promotion."""
        return next((one for one in self.revisions.get(id_, ()) if one.revision == number), None)

    def just_written(self, at: datetime) -> Iterable[Promotion]:
        """All revisions of what was written about then."""
        first = bisect_right(self._written, (at - _WRITTEN, ""))
        last = bisect_right(self._written, (at + _WRITTEN, chr(0x10FFFF)))
        return (one for id_ in {id_ for _, id_ in self._written[first:last]} for one in self.revisions[id_])

    def category(self, spu: str, at: datetime) -> str | None:
        """What an SPU belonged to; None where it was changed since, or about then."""
        category, since = self._categories.get(spu, (None, _ALWAYS))
        return category if since < at else None

    def in_rush(self, store: str, spus: Iterable[str], at: datetime) -> bool:
        """Whether an order of these SPUs was surely in a rush: not near its borders, and not before it was written."""
        return any(
            rush.written + _WRITTEN <= at and rush.starts_at + _WRITTEN <= at < rush.ends_at - _WRITTEN
            for rush in self.rushes
            if rush.store in ("", store) and (not rush.spus or not rush.spus.isdisjoint(spus))
        )

    def sells(self, id_: str, at: datetime) -> bool:
        """Whether a flash sale was surely on: not near its end, and nobody was writing it."""
        known = [one for one in self.revisions.get(id_, ()) if one.written <= at]
        is_sure = not any(at - _WRITTEN <= one.written <= at + _WRITTEN for one in self.revisions.get(id_, ()))
        return bool(known) and is_sure and known[-1].starts_at <= at < known[-1].ends_at - _WRITTEN


NOTHING = Catalogue()
"""A shop without promotions and rushes."""


def _by_scope(promotions: Iterable[Promotion]) -> dict[_Scope, list[Promotion]]:
    found: dict[_Scope, list[Promotion]] = {}
    for p in promotions:
        scopes: list[_Scope] = [("spu", spu) for spu in p.spus]
        scopes += [("category", category) for category in (*p.categories, *([None] if p.categories else []))]
        for scope in scopes or [("all", "")]:
            found.setdefault(scope, []).append(p)
    return found


def _promotion(id_: str, revision: int, body: str, written: datetime) -> Promotion:
    kept: Mapping[str, Any] = msgspec.json.decode(body)
    kind = kept["kind"]
    return Promotion(
        id=id_,
        revision=revision,
        written=written,
        kind=kind,
        starts_at=datetime.fromisoformat(kept["starts_at"]),
        ends_at=datetime.fromisoformat(kept["ends_at"]),
        value=kept.get("value") or 0,
        n=kept.get("n") or 0,
        m=kept.get("m") or 0,
        spus=frozenset(kept.get("spus") or ()),
        categories=frozenset(kept.get("categories") or ()),
        stores=frozenset(kept.get("stores") or ()),
        min_total=kept.get("min_total") or 0,
        limit=1 if kind == "coupon" else kept.get("per_account") or 0,
        account=kept.get("account") or "",
    )
