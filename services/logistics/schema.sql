-- Logistics' own tables; the runtime's stand in shared/runtime/schema.sql.

-- Changes with every step of the store's work, so it is narrow: lines and address are in pick_lists. No index knows
-- `phase`; the three below know only what changes once, at the end, so that every other update stays on its page (HOT).
-- The rows of a batch lie side by side and change together: a page keeps room for all of its rows once more.
create table fulfilments (
    order_id       text primary key,
    store          text        not null,
    phase          text        not null,
    received_at    timestamptz not null,
    slot_start     timestamptz,
    slot_end       timestamptz,
    courier        text,
    queued_at      timestamptz,
    picking_at     timestamptz,
    picked_at      timestamptz,
    packed_at      timestamptz,
    handed_over_at timestamptz,
    delivered_at   timestamptz,
    called_off_at  timestamptz   -- when it ended without a delivery: stopped, or inspected
) with (fillfactor = 45);
-- A store's open work is a short list, whatever the phase; its delivered orders are a long one.
create index fulfilments_open on fulfilments (store, received_at, order_id)
    where delivered_at is null and called_off_at is null;
create index fulfilments_delivered on fulfilments (store, received_at, order_id) where delivered_at is not null;
create index fulfilments_called_off on fulfilments (store, received_at, order_id) where called_off_at is not null;

-- What to pick now and where to bring it: written once, and again when the list was amended.
create table pick_lists (
    order_id   text primary key,
    spus       text not null,  -- JSON [spu, ...]
    quantities text not null,  -- JSON [pieces, ...], parallel to spus
    delivery   text            -- JSON of shared.contracts.order.Delivery
);

-- Append-only: the steps of orders that did not go the straight way. `spus`, `quantities` and `found` are parallel.
create table steps_back (
    order_id   text        not null,
    seq        bigint      generated always as identity,
    at         timestamptz not null,
    entered    text        not null,  -- the phase: short, stopped, returning, returned, inspected
    reason     text        not null,  -- of returning: 'intercepted', or the courier's words; else ''
    actor      text        not null,  -- role:id, or '' when the order service asked for it
    spus       text        not null,  -- JSON [spu, ...]
    quantities text        not null,  -- JSON [pieces, ...]
    found      text        not null,  -- JSON ['short' | 'resellable' | 'damaged' | 'missing', ...]
    primary key (order_id, seq)
);

create table slots (
    store     text        not null,
    starts_at timestamptz not null,
    ends_at   timestamptz not null,
    places    int         not null check (places >= 0),
    reserved  int         not null check (reserved >= 0),  -- may exceed places when a store took places away
    primary key (store, starts_at)
) with (fillfactor = 60);

-- slots.reserved is the number of reservations of that slot in phase 'reserved'.
create table reservations (
    order_id  text primary key,
    store     text not null,
    phase     text not null,
    starts_at timestamptz,   -- null when its order gave it up before it was asked for
    code      text not null  -- why it was refused, or ''
) with (fillfactor = 45);
