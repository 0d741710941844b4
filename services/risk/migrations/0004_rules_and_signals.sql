-- What a screening saw: the verdict it came to, by which rules of which version, and the facts.
alter table screenings
    add column at            timestamptz,
    add column total         bigint,            -- minor units
    add column device        text,              -- pseudonyms (keyed hashes): only equality is ever asked for
    add column address       text,
    add column verdict       text,              -- what was said first; a review may end in another phase
    add column score         real,
    add column rules_version integer,
    add column spoke         text,              -- JSON: [[rule, value, threshold, points]]; null when none did
    add column facts         text;              -- JSON: {counts, earlier}; null when it is purged
create index screenings_by_age on screenings (at, order_id);

alter table reviews
    add column claimed_by    text not null default '',
    add column claimed_until timestamptz;

-- What became of the orders: written once, never touched again. `ended` is no doing of the account's.
create table endings (
    order_id text        primary key,
    account  text        not null,
    phase    text        not null,
    deed     text        not null,
    at       timestamptz not null
);
create index endings_of_account on endings (account, at);
insert into endings (order_id, account, phase, deed, at)
select order_id, account, 'known', case reason when 'not_reachable' then 'unreachable' else 'cancelled' end, at
from cancels;
drop table cancels;

-- How accounts, devices and addresses conduct themselves, as the stream application told it last.
create table conducts (
    about   text   not null,  -- account, device, address
    subject text   not null,  -- the account, or the pseudonym
    at      bigint not null,  -- the newest happening, milliseconds since 1970
    known   text   not null,  -- JSON: {counts, earlier}
    primary key (about, subject)
);
create index conducts_by_age on conducts (at);
create table ages (
    shard text        primary key,
    as_of timestamptz not null
);

-- Master data: every version of the rules, whole. No row yet: what is delivered with larder is version 0.
create table rule_sets (
    version    integer     primary key,
    rules      text        not null,  -- JSON: {rules: {name: {...}}, levels: {...}}
    change     text        not null,  -- put, delete, levels, restore
    name       text        not null,  -- the rule that was changed, or the version that was put back
    reason     text        not null,
    changed_at timestamptz not null default now(),
    changed_by text        not null
);
create trigger rule_sets_counted after insert or update or delete or truncate on rule_sets
    for each statement execute function count_master_data();

-- The key of the pseudonyms, made here and used by risk's worker alone.
create table pseudonyms (
    only_row boolean primary key default true check (only_row),
    key      bytea   not null
);
insert into pseudonyms (key) values (
    sha256(decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')));
create trigger pseudonyms_counted after insert or update or delete or truncate on pseudonyms
    for each statement execute function count_master_data();
