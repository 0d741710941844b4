-- Risk's tables. Those of the runtime stand beside it, in shared/runtime/schema.sql.

-- One row per order, mostly written once and never touched again.
create table screenings (
    order_id text primary key,
    account  text not null,
    phase    text not null,
    reason   text           -- the code that was said with the verdict; null when it was clear
);
create index screenings_of_account on screenings (account);

-- The orders that a person had to look at: few.
create table reviews (
    order_id   text        primary key,
    account    text        not null,
    total      bigint      not null,  -- minor units
    device     text,
    address    text,
    reason     text        not null,
    asked_at   timestamptz not null,
    due_at     timestamptz not null,
    verdict    text,                  -- clear, restrict, refuse, withdrawn; null while it is open
    note       text        not null,
    decided_by text        not null,  -- an actor; empty when nobody decided in time, or the order ended first
    decided_at timestamptz
);
create index reviews_open on reviews (due_at, order_id) where decided_at is null;

-- The orders that customers cancelled, or could not be reached for: written once, never touched again.
create table cancels (
    order_id text        primary key,
    account  text        not null,
    phase    text        not null,
    reason   text        not null,
    at       timestamptz not null
);
create index cancels_of_account on cancels (account, at);

-- Master data: written by HTTP, read afresh for every batch.
create table blocklist (
    kind       text        not null check (kind in ('account', 'device', 'address')),
    value      text        not null,  -- addresses as services.risk.state.normalised writes them
    treatment  text        not null check (treatment in ('refuse', 'refer', 'restrict')),
    reason     text        not null,
    until      timestamptz,           -- from then on the entry counts no more
    changed_at timestamptz not null default now(),
    changed_by text        not null,
    primary key (kind, value)
);

create table switch (
    only_row   boolean     primary key default true check (only_row),
    is_on      boolean     not null,
    changed_at timestamptz not null default now(),
    changed_by text        not null
);
insert into switch (is_on, changed_by) values (true, 'migration');
