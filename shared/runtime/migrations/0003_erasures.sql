-- That somebody's personal data was taken out (`larder customer erase`): one row a run, in each database.
create table erasures (
    account text        not null,
    at      timestamptz not null,  -- of the run, the same in all six databases
    done_by text        not null,
    erased  text        not null,  -- JSON {table: rows that something was taken out of}
    primary key (account, at)
);
