-- The ticket whose old goods the courier takes along. It never changes.
alter table fulfilments add column take_along text;

-- Goods of a ticket that a customer gives back. `spus` and `quantities` are parallel.
create table returns (
    ticket_id     text primary key,
    order_id      text        not null,  -- the order that they came with
    store         text        not null,
    phase         text        not null,
    announced_at  timestamptz not null,  -- at first
    delivery      text,                  -- JSON of shared.contracts.order.Delivery
    exchange      boolean     not null,  -- the courier who brings others takes them along
    spus          text        not null,  -- JSON [spu, ...]
    quantities    text        not null,  -- JSON [pieces, ...]
    courier       text,
    collected_at  timestamptz,
    returned_at   timestamptz,
    inspected_at  timestamptz,
    overdue_at    timestamptz,
    called_off_at timestamptz,
    found         text        not null   -- JSON [[spu, pieces, 'resellable' | 'damaged' | 'missing'], ...]
);
create index returns_of_store on returns (store, announced_at, ticket_id);
create index returns_by_phase on returns (store, phase, announced_at, ticket_id);
-- For the sweep of what is over. Its columns never change.
create index returns_by_age on returns (announced_at, ticket_id);
