-- The book of the payment gateway simulator, in a database of its own (`gateway`): what an outside company would
-- know. No service reads it; the auditor does. Amounts are integer minor units.
-- No foreign keys: an intent and its captures are written by one statement, and a check per row is the dearest part.

-- Every charge that was ever asked for, by the caller's key.
create table intents (
    key       text        primary key,
    order_id  text        not null,
    amount    bigint      not null check (amount > 0),
    currency  text        not null,
    method    text        not null,
    declined  text,                     -- the code, where the gateway said no
    at        timestamptz not null
);

-- Money taken. Two rows of one key: money taken twice.
create table captures (
    reference text        primary key,
    key       text        not null,
    order_id  text        not null,
    amount    bigint      not null check (amount > 0),
    currency  text        not null,
    at        timestamptz not null
);

-- Money that will be taken when it is due; the row goes when the capture is made.
create table pending_captures (
    key       text        primary key,
    due_at    timestamptz not null
);
create index pending_captures_due on pending_captures (due_at);

-- Money given back.
create table refunds (
    key       text        primary key,
    reference text        not null,
    capture   text        not null,
    order_id  text        not null,
    amount    bigint      not null check (amount > 0),
    currency  text        not null,
    reason    text        not null,
    at        timestamptz not null
);
create index refunds_of_capture on refunds (capture);

-- Refunds that were refused: the same key gets the same answer again. No money in here.
create table refused_refunds (
    key       text        primary key,
    capture   text        not null,
    amount    bigint      not null,
    reason    text        not null,
    code      text        not null,
    at        timestamptz not null
);

-- Reports of captures that no answer told of, sent until somebody says 2xx.
create table webhooks (
    id           text        primary key,
    body         text        not null,
    created_at   timestamptz not null,
    next_at      timestamptz not null,  -- not tried before that
    attempts     int         not null default 0,
    delivered_at timestamptz
);
create index webhooks_open on webhooks (next_at) where delivered_at is null;

-- What the gateway holds of each order: captured - refunded.
create view money_by_order as
select order_id, sum(captured)::bigint as captured, sum(refunded)::bigint as refunded
from (
    select order_id, amount as captured, 0 as refunded from captures
    union all
    select order_id, 0, amount from refunds
) as moves
group by order_id;
