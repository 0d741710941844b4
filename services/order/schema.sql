-- The order service's tables. Hot rows are narrow: what changes with every step stands apart from the lines, and no index
-- stands on a column that changes, so that updates stay within their page.

create table orders (
    order_id       text primary key,
    kind           text        not null default 'sales',
    phase          text        not null,
    phase_since    timestamptz not null,
    account        text        not null,
    store          text        not null,
    placed_at      timestamptz not null,
    total          bigint      not null check (total >= 0),
    hold_mode      text,
    payable_until  timestamptz,
    attempt        int         not null,
    method         text        not null,
    paid           bigint      not null check (paid >= 0),
    refunded       bigint      not null check (refunded >= 0 and refunded <= paid),
    refunds        int         not null,
    closing_refund int         not null,
    reference      text        not null,
    reason         text        not null,
    given_back     bigint      not null check (given_back >= 0 and given_back <= total),
    tickets        int         not null,
    ticket_id      text        not null,
    ended          boolean     not null
) with (fillfactor = 45);  -- room for the versions of a row that come before the old ones may be swept
create index orders_by_age on orders (placed_at, order_id);
create index orders_by_account on orders (account, placed_at, order_id);
create index orders_by_store on orders (store, placed_at, order_id);
create index orders_open on orders (placed_at) where not ended;

-- Lines as they are priced now: parallel JSON arrays.
create table baskets (
    order_id   text primary key,
    spus       text not null,
    quantities text not null,
    prices     text not null,
    delivery   text,
    slot       text,
    device     text
);

-- What few orders have: what is to be delivered where that is not the lines any more, what is short, the refunds that the
-- gateway refused (all JSON), and whether the goods did not come back.
create table amendments (
    order_id     text primary key,
    lots         text not null,
    shortage     text,
    substitution text,
    owed         text,
    overdue      boolean not null default false
);

create table timeline (
    seq      bigint generated always as identity,
    order_id text        not null,
    at       timestamptz not null,
    phase    text        not null,
    message  text        not null,
    actor    text        not null
);
create index timeline_of_order on timeline (order_id);

-- What the order's page shows besides: documents, payments, refunds, short lines. `body` is JSON.
create table papers (
    seq      bigint generated always as identity,
    order_id text        not null,
    kind     text        not null check (kind in ('document', 'payment', 'refund', 'short', 'ticket')),
    at       timestamptz not null,
    body     text        not null
);
create index papers_of_order on papers (order_id);

-- Master data: written by HTTP, read afresh for every batch.
create table products (
    spu        text primary key,
    name       text        not null,
    price      bigint      not null check (price > 0),
    category   text        not null,
    updated_at timestamptz not null default now()
);

create table stores (
    store      text primary key,
    name       text             not null,
    accepting  boolean          not null,
    area       text             not null,  -- GeoJSON Polygon
    west       double precision not null,
    south      double precision not null,
    east       double precision not null,
    north      double precision not null,
    updated_at timestamptz      not null default now()
);
