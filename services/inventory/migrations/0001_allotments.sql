-- Where lines of a hold come from when it is not the shelf alone: JSON {sale: {spu: promotion}, presale: [spu, ...],
-- taken: {spu: pieces}}. Null in ordinary holds.
alter table holds add column sources text;

-- Cells beside the shelf: "<spu>|<promotion>" (set aside for a flash sale), "<spu>|+incoming" (to come, may be promised),
-- "<spu>|+owed" (sold of what is to come, not come yet). What is moved between them has no document and is no hold's.
alter table ledger drop constraint names_document_or_hold;
alter table ledger add constraint names_document_or_hold
    check (document is not null or order_id is not null or kind in ('allot', 'expect', 'arrive')) not valid;

-- The pieces of one SPU that a flash sale may sell in one store. While it is open, quantity - sold are in its cell.
create table allotments (
    store     text   not null,
    promotion text   not null,
    phase     text   not null check (phase in ('announced', 'open', 'over')),
    spu       text   not null,  -- empty before anything was set aside
    quantity  bigint not null,
    sold      bigint not null,
    ends_at   timestamptz,      -- null before it was announced
    primary key (store, promotion),
    constraint never_oversold check (0 <= sold and sold <= quantity)
) with (fillfactor = 60);
-- An SPU has one open allotment in a store.
create unique index allotments_open on allotments (store, spu) where phase = 'open';
