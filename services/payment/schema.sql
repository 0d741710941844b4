-- Payment's tables. Those of the runtime stand beside it, in shared/runtime/schema.sql; the gateway simulator's book has
-- a database of its own (gateway.sql). Amounts are integer minor units.

-- One hot row per order, written twice in a life that goes well; room in the page and no further index keep the second
-- write in place.
create table payments (
    order_id text primary key,
    phase    text not null,
    attempts text not null,  -- JSON [[number, amount, method, outcome, code], ...]
    captures text not null   -- JSON [[reference, amount, at, given back], ...]
) with (fillfactor = 60);

create table refunds (
    order_id  text   not null,
    number    int    not null,
    phase     text   not null,
    amount    bigint not null,
    capture   text   not null,  -- the gateway's reference of the money that goes back
    reason    text   not null,
    liable    text   not null,
    reference text,             -- the gateway's reference of the refund, once it is done
    at        timestamptz,
    code      text,             -- why it was refused
    primary key (order_id, number)
) with (fillfactor = 60);
-- Few, and each one wants a person.
create index refunds_refused on refunds (order_id) where phase = 'refused';

-- The money journal: append-only, what the gateway confirmed, each of its references once.
create table journal (
    order_id  text        not null,
    reference text        not null,
    kind      text        not null check (kind in ('captured', 'refunded')),
    amount    bigint      not null check (amount > 0),
    at        timestamptz not null,
    reason    text        not null,
    liable    text,
    primary key (order_id, reference)
);
