-- Inventory's own tables; the runtime's stand in shared/runtime/schema.sql.

-- The hottest rows of larder: ten of them change with most orders. Nothing that changes is indexed, and pages keep room,
-- so that an update stays on its page (HOT) and touches no index.
create table cells (
    store   text   not null,
    spu     text   not null,
    on_hand bigint not null,
    locked  bigint not null,
    primary key (store, spu),
    constraint never_below_zero check (0 <= locked and locked <= on_hand)
) with (fillfactor = 60);

-- What each order has on stock. `phase` changes a few times, the lines never (what goes back is in issues). The rows of a batch lie side by side and
-- change together, before their old versions may be swept: a page keeps room for all of its rows once more.
create table holds (
    order_id   text primary key,
    store      text not null,
    phase      text not null,
    mode       text not null check (mode in ('lock', 'on_payment')),
    spus       text not null,  -- JSON [spu, ...], each once
    quantities text not null,  -- JSON [pieces, ...], parallel to spus
    document   text not null   -- number of the last document written for it, or ''
) with (fillfactor = 45);

-- What an order has after the first document that followed its sales issue; most orders have no row.
create table issues (
    order_id  text primary key,
    lines     text not null,  -- JSON {spu: [pieces covered by its issues, of them come back, written off as missing]}
    documents text not null   -- JSON [number, ...], in the order in which they were written
);

-- Append-only. One row per step, never a row per line: `spus`, `on_hand` and `locked` (deltas in pieces) are parallel.
-- kind: lock, unlock (of the hold of order_id; no document), else the kind of its document.
create table ledger (
    store    text        not null,
    seq      bigint      generated always as identity,
    at       timestamptz not null,
    kind     text        not null,
    order_id text,
    document text,
    spus     text        not null,  -- JSON
    on_hand  text        not null,  -- JSON
    locked   text        not null,  -- JSON
    primary key (store, seq),
    constraint names_document_or_hold check (document is not null or order_id is not null)
);

-- Append-only. `quantities` are pieces, in an adjustment signed differences.
create table documents (
    number     text primary key,
    kind       text        not null,
    store      text        not null,
    order_id   text,
    at         timestamptz not null,
    spus       text        not null,  -- JSON
    quantities text        not null,  -- JSON
    reverses   text,
    reason     text,
    actor      text
);
create index documents_of_order on documents (order_id) where order_id is not null;
