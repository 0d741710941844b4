-- What risk said of an order, for people who work here.
alter table papers drop constraint papers_kind_check;
alter table papers add constraint papers_kind_check
    check (kind in ('document', 'payment', 'refund', 'short', 'ticket', 'returned', 'compensated', 'screening')) not valid;
