-- Aftersales' tables. Those of the runtime stand beside it, in shared/runtime/schema.sql.

-- One row per delivered order, written when its window opens and when it shuts, and per order with tickets (phase `new`
-- as long as it was not delivered).
create table windows (
    order_id     text primary key,
    phase        text not null,
    account      text not null,
    store        text not null,
    shuts_at     timestamptz,      -- null before the delivery
    open_tickets int  not null check (open_tickets >= 0)
) with (fillfactor = 60);

-- The tickets of customer service: few.
create table tickets (
    ticket_id  text        primary key,
    order_id   text        not null,
    phase      text        not null,
    kind       text        not null,
    account    text        not null,  -- empty where aftersales was never told
    store      text        not null,
    spus       text        not null,  -- JSON, parallel to quantities (pieces)
    quantities text        not null,
    reason     text        not null,
    note       text        not null,
    opened_at  timestamptz not null,
    opened_by  text        not null,  -- an actor; empty when the saga raised it
    ended_at   timestamptz,
    call       text                   -- JSON [outcome, by, at, spus, quantities, instead_of]; null before the first call
) with (fillfactor = 60);
create index tickets_of_order on tickets (order_id, opened_at);
create index tickets_by_age on tickets (opened_at, ticket_id);
