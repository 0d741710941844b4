"""Promotions and rushes over HTTP: master data like the catalogue, and every change of a promotion is a new revision.

Theory of operation. Whoever changes a promotion locks the table against other writers (readers go on), so that
revisions follow each other and the bound holds; the newest row and its revision are written by one statement. The
stores keep the pieces of a flash sale, so they are told of every change of one (the command `TellSale`), and a PUT or
DELETE answers when the order's decider has told them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import asyncpg
import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from services.order.catalogue import Label, Merchant, must_be_of
from services.order.catalogue import Reader as Anybody
from services.order.promotions import PROMOTIONS_MAX, Kind, Promotion, promotion_of
from shared.contracts import order as ordering
from shared.contracts.base import MONEY_MAX, Account, Moment, Money, Name, Number
from shared.http.asked import Asked, command_id
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.paging import Page, Paged
from shared.http.problems import invalid, refusal, register
from shared.http.trace import traceparent_of
from shared.service import Parts

register(
    {
        "promotion_unknown": (404, "There is no such promotion"),
        "promotion_kind_fixed": (409, "A promotion stays of the kind that it is"),
        "too_many_promotions": (409, "There are too many promotions that are running or to come"),
        "rush_unknown": (404, "There is no such rush"),
        "too_many_rushes": (409, "There are too many rushes that are running or to come"),
    }
)

SCOPE_MAX = 1_000
"""Most SPUs, categories or stores in one scope."""
N_MAX = 1_000
"""Largest n of a `buy_n_pay_m`: more pieces of one SPU than this are in no order."""
RUSHES_MAX = 1_000
"""Most rushes that are running or to come: the worker keeps them all in memory."""
NAMED_MAX = 50_000
"""Most names in the scopes of all automatic promotions, or of all rushes, that are running or to come."""
UNKNOWN_TOLD = 10
"""Most unknown SPUs or stores that one refusal names."""

Staff = Annotated[Caller, Depends(require(*(role for role in Role if role is not Role.CUSTOMER)))]
State = Literal["running", "to_come", "over"]
Scope = Annotated[list[Name], Field(max_length=SCOPE_MAX)]
Amount = Annotated[int, Field(ge=0, le=MONEY_MAX, strict=True)]


class BuyNPayM(Body):
    """Of every n pieces of a line, m are paid; m is less than n."""

    n: Annotated[int, Field(ge=2, le=N_MAX, strict=True)]
    m: Annotated[int, Field(ge=1, lt=N_MAX, strict=True)]


class PromotionBody(Body):
    """A promotion, whole: what is left out it does not have. What GET gives will do; revision and state follow by
    themselves.

    `value` in minor units: percent 0 to 100; an amount of 1 or more of `amount_off` and `coupon`; of `flash` the price
    of a piece; of `buy_n_pay_m` the two numbers. An empty scope is everything. `per_account`: how many orders of an
    account may have it, of `flash` how many pieces; of `coupon` it is 1. `account`: only it may use this coupon.
    """

    kind: Annotated[Kind, Field(strict=False)]
    value: Amount | BuyNPayM
    spus: Scope = []
    categories: Annotated[list[Label], Field(max_length=SCOPE_MAX)] = []
    stores: Scope = []
    min_total: Money | None = None
    starts_at: Moment
    ends_at: Moment
    per_account: ordering.Limit | None = None
    account: Account | None = None
    id: Name | None = None
    revision: Number | None = None
    state: State | None = None


class PromotionRow(BaseModel):
    """A promotion at its newest revision. Money in minor units; null where it has none."""

    id: str
    kind: Kind
    value: int | BuyNPayM
    spus: list[str]
    categories: list[str]
    stores: list[str]
    min_total: int | None
    starts_at: datetime
    ends_at: datetime
    per_account: int | None
    account: str | None
    revision: int
    state: State


class RushBody(Body):
    """From when until when a store (none: all of them) sells first paid, first served: orders with one of these SPUs
    (none: every order). What GET gives will do."""

    store: Name | None = None
    spus: Scope = []
    starts_at: Moment
    ends_at: Moment
    id: Name | None = None
    state: State | None = None


class RushRow(BaseModel):
    """A rush as it is shown."""

    id: str
    store: str | None
    spus: list[str]
    starts_at: datetime
    ends_at: datetime
    state: State


# $1 is always now, so that what is shown and what is looked for are of the same instant.
_STATE = """case when ends_at <= $1::timestamptz then 'over' when starts_at > $1 then 'to_come' else 'running' end"""
_COLUMNS = f"id, revision, body, {_STATE} state"
_ONE = f"select {_COLUMNS} from promotions where id = $2"
_LIST = f"""select {_COLUMNS} from promotions
where ($2::text is null or id > $2) and ($3::text is null or kind = $3)
  and ($4::text is null or body::jsonb -> 'stores' = '[]' or body::jsonb -> 'stores' ? $4)
  and ($5::text is null or {_STATE} = $5) and ($6::boolean or kind <> 'coupon')
order by id limit $7"""
_NAMED = " + ".join(f"jsonb_array_length(body::jsonb -> '{scope}')" for scope in ("spus", "categories", "stores"))
_OTHERS = f"""select count(*), coalesce(sum({_NAMED}), 0) from promotions
where kind <> 'coupon' and ends_at > $1 and id <> $2"""
_WRITE = f"""with kept as (
    insert into promotion_revisions (id, revision, body, at) values ($2, $3, $5, $1)
)
insert into promotions (id, revision, kind, body, starts_at, ends_at, updated_at) values ($2, $3, $4, $5, $6, $7, $1)
on conflict (id) do update set revision = excluded.revision, body = excluded.body, starts_at = excluded.starts_at,
    ends_at = excluded.ends_at, updated_at = excluded.updated_at
returning {_COLUMNS}"""
_UNKNOWN = """select k.name from unnest($1::text[]) k (name)
where not exists (select from {table} t where t.{column} = k.name) order by 1 limit $2"""
_UNKNOWN_SPUS = _UNKNOWN.format(table="products", column="spu")
_UNKNOWN_STORES = _UNKNOWN.format(table="stores", column="store")

_RUSH_COLUMNS = f"id, store, spus, starts_at, ends_at, {_STATE} state"
_RUSH = f"select {_RUSH_COLUMNS} from rushes where id = $2"
_RUSHES = f"""select {_RUSH_COLUMNS} from rushes
where ($2::text is null or id > $2) and ($3::text is null or store is null or store = $3)
  and ($4::text is null or {_STATE} = $4)
order by id limit $5"""
_OTHER_RUSHES = """select count(*), coalesce(sum(jsonb_array_length(spus::jsonb)), 0) from rushes
where ends_at > $1 and id <> $2"""
_WRITE_RUSH = f"""insert into rushes (id, store, spus, starts_at, ends_at, updated_at) values ($2, $3, $4, $5, $6, $1)
on conflict (id) do update set store = excluded.store, spus = excluded.spus, starts_at = excluded.starts_at,
    ends_at = excluded.ends_at, updated_at = excluded.updated_at
returning {_RUSH_COLUMNS}"""
_DROP_RUSH = "delete from rushes where id = $1 returning id"


def routes(parts: Parts) -> list[APIRouter]:
    """Promotions and rushes."""
    return [_promotions(parts), _rushes(parts.pool)]


async def _asked_anew(request: Request, caller: Merchant) -> Asked:
    """A PUT is the same however often it comes, and each time the stores are told: one may have opened since."""
    anew = command_id(caller.identity, "", None)
    return Asked(caller=caller, command_id=anew, fingerprint="", traceparent=traceparent_of(request.scope))


Teller = Annotated[Asked, Depends(_asked_anew)]


def _promotions(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["promotions"])
    pool = parts.pool

    async def told(row: PromotionRow, asked: Asked) -> PromotionRow:
        if row.kind is Kind.FLASH:
            await parts.desk.send(ordering.TellSale(promotion=row.id), asked)
        return row

    @router.put("/promotions/{promotion_id}")
    async def put(promotion_id: Name, body: PromotionBody, asked: Teller) -> PromotionRow:
        must_be_of(promotion_id, "id", body.id)
        _must_make_sense(body)
        return await told(await _put(pool, promotion_id, body), asked)

    @router.delete("/promotions/{promotion_id}", status_code=204)
    async def end(promotion_id: Name, asked: Teller) -> None:
        """Ends it now. It stays readable: orders were priced with it."""
        await told(await _end(pool, promotion_id), asked)

    @router.get("/promotions/{promotion_id}")
    async def read(promotion_id: Name, caller: Anybody) -> PromotionRow:
        row = await pool.fetchrow(_ONE, datetime.now(UTC), promotion_id)
        if row is None or (caller.role is Role.CUSTOMER and _of(row).kind is Kind.COUPON):
            raise refusal("promotion_unknown", f"there is no promotion {promotion_id}")
        return _shown(row)

    @router.get("/promotions")
    async def some(
        caller: Anybody, paging: Paged, kind: Kind | None = None, store: Name | None = None, state: State | None = None
    ) -> Page[PromotionRow]:
        # A coupon's id is its code: a customer who could list them could use them.
        coupons = caller.role is not Role.CUSTOMER
        after = paging.after(str)
        rows = await pool.fetch(_LIST, datetime.now(UTC), *after, kind, store, state, coupons, paging.fetch)
        return paging.page(rows, last=lambda r: (r["id"],), item=_shown)

    return router


async def _put(pool: asyncpg.Pool, id_: str, body: PromotionBody) -> PromotionRow:
    async with pool.acquire() as connection, connection.transaction():
        now = await _alone(connection, "promotions")
        before = await connection.fetchrow(_ONE, now, id_)
        revision = before["revision"] if before else 0
        promotion = _promotion(id_, revision, body)
        if before:
            was = _of(before)
            if was.kind is not promotion.kind:
                raise refusal("promotion_kind_fixed", f"promotion {id_} is a {was.kind}: use another id")
            if was == promotion:
                return _shown(before)
        _must_last(body)
        await _must_be_known(connection, promotion.spus, promotion.stores)
        if promotion.kind is not Kind.COUPON and promotion.ends_at > now:
            others = await connection.fetchrow(_OTHERS, now, id_)
            names = len(promotion.spus) + len(promotion.categories) + len(promotion.stores)
            _must_have_room("too_many_promotions", others, PROMOTIONS_MAX, names)
        return await _write(connection, msgspec.structs.replace(promotion, revision=revision + 1), now)


async def _end(pool: asyncpg.Pool, id_: str) -> PromotionRow:
    async with pool.acquire() as connection, connection.transaction():
        now = await _alone(connection, "promotions")
        row = await connection.fetchrow(_ONE, now, id_)
        if row is None:
            raise refusal("promotion_unknown", f"there is no promotion {id_}")
        promotion = _of(row)
        if promotion.ends_at <= now:
            return _shown(row)
        ended = msgspec.structs.replace(promotion, revision=promotion.revision + 1, ends_at=now)
        return await _write(connection, ended, now)


async def _alone(connection: Any, table: str) -> datetime:
    """Nobody else writes this table until the end of the transaction; the instant from which that holds."""
    await connection.execute(f"lock table {table} in share row exclusive mode")
    return datetime.now(UTC)


async def _write(connection: Any, promotion: Promotion, now: datetime) -> PromotionRow:
    body = _kept(promotion)
    row = await connection.fetchrow(
        _WRITE,
        *(now, promotion.id, promotion.revision, promotion.kind.value, body, promotion.starts_at, promotion.ends_at),
    )
    return _shown(row)


async def _must_be_known(connection: Any, spus: Iterable[str], stores: Iterable[str]) -> None:
    """422 `product_unknown` or `store_unknown`: a scope with a mistyped name would do nothing, and say nothing."""
    for sql, names, code in (
        (_UNKNOWN_SPUS, spus, "product_unknown"),
        (_UNKNOWN_STORES, stores, "store_unknown"),
    ):
        if unknown := await connection.fetch(sql, list(names), UNKNOWN_TOLD):
            what = "spus, not in the catalogue" if code == "product_unknown" else "no such stores"
            raise refusal(code, f"{what}: {', '.join(row['name'] for row in unknown)}")


def _must_have_room(code: str, others: Any, most: int, names: int) -> None:
    """The worker keeps them all in memory, with these names besides those of the others."""
    count, named = others
    if count >= most:
        raise refusal(code, f"at most {most} that are running or to come")
    if named + names > NAMED_MAX:
        raise refusal(code, f"all their scopes together would have {named + names} names, at most {NAMED_MAX} may be")


def _must_last(body: PromotionBody | RushBody) -> None:
    if body.ends_at <= body.starts_at:
        raise invalid("body", "ends_at", "must be later than starts_at")


def _must_make_sense(body: PromotionBody) -> None:
    """What a value may be, and what there may be besides, is a matter of the kind."""
    kind, value = body.kind, body.value
    if isinstance(value, BuyNPayM):
        if kind is not Kind.BUY_N_PAY_M:
            raise invalid("body", "value", f"of {kind} it is a number")
        if value.m >= value.n:
            raise invalid("body", "value.m", "must be less than n")
    elif kind is Kind.BUY_N_PAY_M:
        raise invalid("body", "value", "of buy_n_pay_m it is an object of n and m")
    elif kind is Kind.PERCENT and value > 100:
        raise invalid("body", "value", "a percentage is at most 100")
    elif kind is not Kind.PERCENT and value < 1:
        raise invalid("body", "value", f"of {kind} it is at least 1, in minor units")
    if body.min_total and kind is Kind.FLASH:
        raise invalid("body", "min_total", "a flash sale stands alone: it has no minimum")
    if body.per_account not in (None, 1) and kind is Kind.COUPON:
        raise invalid("body", "per_account", "a coupon is used once per account")
    if body.account and kind is not Kind.COUPON:
        raise invalid("body", "account", "only a coupon can be for one account")


def _promotion(id_: str, revision: int, body: PromotionBody) -> Promotion:
    value, n, m = (0, body.value.n, body.value.m) if isinstance(body.value, BuyNPayM) else (body.value, 0, 0)
    return Promotion(
        id=id_,
        revision=revision,
        kind=body.kind,
        starts_at=body.starts_at.astimezone(UTC),
        ends_at=body.ends_at.astimezone(UTC),
        value=value,
        n=n,
        m=m,
        spus=frozenset(body.spus),
        categories=frozenset(body.categories),
        stores=frozenset(body.stores),
        min_total=body.min_total or 0,
        per_account=1 if body.kind is Kind.COUPON else body.per_account or 0,
        account=body.account or "",
    )


def _kept(promotion: Promotion) -> str:
    """The body of its row: what `promotion_of` reads."""
    members = msgspec.structs.asdict(promotion)
    del members["id"], members["revision"]
    return msgspec.json.encode(members, order="deterministic").decode()


def _of(row: Any) -> Promotion:
    return promotion_of(row["id"], row["revision"], row["body"])


def _shown(row: Any) -> PromotionRow:
    p = _of(row)
    return PromotionRow(
        id=p.id,
        kind=p.kind,
        value=BuyNPayM(n=p.n, m=p.m) if p.kind is Kind.BUY_N_PAY_M else p.value,
        spus=sorted(p.spus),
        categories=sorted(p.categories),
        stores=sorted(p.stores),
        min_total=p.min_total or None,
        starts_at=p.starts_at,
        ends_at=p.ends_at,
        per_account=p.per_account or None,
        account=p.account or None,
        revision=p.revision,
        state=row["state"],
    )


# -- rushes ------------------------------------------------------------------------------------------------------------


def _rushes(pool: asyncpg.Pool) -> APIRouter:
    router = APIRouter(tags=["rushes"])

    @router.put("/rushes/{rush_id}")
    async def put(rush_id: Name, body: RushBody, caller: Merchant) -> RushRow:
        must_be_of(rush_id, "id", body.id)
        _must_last(body)
        spus = sorted(set(body.spus))
        async with pool.acquire() as connection, connection.transaction():
            now = await _alone(connection, "rushes")
            await _must_be_known(connection, spus, [body.store] if body.store else [])
            if body.ends_at > now:
                others = await connection.fetchrow(_OTHER_RUSHES, now, rush_id)
                _must_have_room("too_many_rushes", others, RUSHES_MAX, len(spus))
            row = await connection.fetchrow(
                _WRITE_RUSH, now, rush_id, body.store, json.dumps(spus), body.starts_at, body.ends_at
            )
        return _rush(row)

    @router.delete("/rushes/{rush_id}", status_code=204)
    async def drop(rush_id: Name, caller: Merchant) -> None:
        if await pool.fetchval(_DROP_RUSH, rush_id) is None:
            raise refusal("rush_unknown", f"there is no rush {rush_id}")

    @router.get("/rushes/{rush_id}")
    async def read(rush_id: Name, caller: Staff) -> RushRow:
        row = await pool.fetchrow(_RUSH, datetime.now(UTC), rush_id)
        if row is None:
            raise refusal("rush_unknown", f"there is no rush {rush_id}")
        return _rush(row)

    @router.get("/rushes")
    async def some(
        caller: Staff, paging: Paged, store: Name | None = None, state: State | None = None
    ) -> Page[RushRow]:
        rows = await pool.fetch(_RUSHES, datetime.now(UTC), *paging.after(str), store, state, paging.fetch)
        return paging.page(rows, last=lambda r: (r["id"],), item=_rush)

    return router


def _rush(row: Any) -> RushRow:
    return RushRow(**{**row, "spus": json.loads(row["spus"])})
