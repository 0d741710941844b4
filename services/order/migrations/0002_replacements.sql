-- Replacement orders: the sales order that one hangs on, and for which ticket (JSON [replaces, about, ticket, kind, SPUs and
-- pieces that the courier takes along]). Few orders have either.
alter table amendments add column replaces text, add column replacement text;
create index replacements_of_order on amendments (replaces) where replaces is not null;

-- Papers of goods that customers gave back, and of money that they got for goods.
alter table papers drop constraint papers_kind_check;
alter table papers add constraint papers_kind_check
    check (kind in ('document', 'payment', 'refund', 'short', 'ticket', 'returned', 'compensated')) not valid;
