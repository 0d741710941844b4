-- Promotions: rules that change prices, at their newest revision. `body` is JSON: kind, value, n, m, starts_at, ends_at,
-- spus, categories, stores, min_total, per_account, account. One that is over stays: orders were priced with it.
create table promotions (
    id         text primary key,
    revision   int         not null,
    kind       text        not null check (kind in ('percent', 'amount_off', 'coupon', 'flash', 'buy_n_pay_m')),
    body       text        not null,
    starts_at  timestamptz not null,
    ends_at    timestamptz not null,
    updated_at timestamptz not null default now()
);
create index promotions_by_end on promotions (ends_at) where kind <> 'coupon';

-- As they were, each revision from its instant on: what an order paid can be worked out again.
create table promotion_revisions (
    id       text        not null,
    revision int         not null,
    body     text        not null,
    at       timestamptz not null default now(),
    primary key (id, revision)
);

-- Times in which stores sell first paid, first served. `spus` is a JSON array, empty: every order.
create table rushes (
    id         text primary key,
    store      text,
    spus       text        not null,
    starts_at  timestamptz not null,
    ends_at    timestamptz not null,
    updated_at timestamptz not null default now()
);

-- What accounts had of promotions that they may have only so often: written by the shard of the account only.
create table claims (
    account   text not null,
    promotion text not null,
    order_id  text not null,
    units     int  not null check (units > 0),
    primary key (account, promotion, order_id)
);

-- Pre-sale: from when on a product can be had. A pause of a store ends by itself.
alter table products add column available_from timestamptz;
alter table stores add column paused_until timestamptz;

-- Of orders with promotions: JSON [[[promotion, revision, kind, [off each line], units, limit], ...], coupons, denied,
-- claimed, at]; SPUs that were to come when the order was placed.
alter table baskets add column discounts text, add column presale text;

create trigger promotions_counted after insert or update or delete or truncate on promotions
    for each statement execute function count_master_data();
create trigger rushes_counted after insert or update or delete or truncate on rushes
    for each statement execute function count_master_data();
