-- Aftersales' tables. Those of the runtime stand beside it, in shared/runtime/schema.sql.

-- One row per delivered order, written when its window opens and when it shuts.
create table windows (
    order_id text        primary key,
    phase    text        not null,
    account  text        not null,
    store    text        not null,
    shuts_at timestamptz not null
) with (fillfactor = 60);
