-- What was delivered and no ticket has claimed: JSON [[spu, pieces, paid per piece], ...]; and the customer's stars.
alter table windows
    add column goods        text not null default '[]',
    add column replacements int  not null default 0,
    add column stars        int  not null default 0;

-- A ticket about goods. `claims`, `settled` and `replacing` are JSON lists of pieces, `notes` of [at, by, text].
alter table tickets
    add column liable        text   not null default 'store',
    add column amount        bigint check (amount > 0),
    add column claims        text   not null default '[]',
    add column settled       text   not null default '[]',
    add column refunded      bigint not null default 0 check (refunded >= 0),
    add column replacing     text   not null default '[]',
    add column replacement   text   not null default '',
    add column deadline      timestamptz,
    add column claimed_by    text   not null default '',
    add column claimed_until timestamptz,
    add column notes         text   not null default '[]';
update tickets set deadline = opened_at where deadline is null;
alter table tickets alter column deadline set not null;
create index tickets_by_deadline on tickets ((ended_at is not null), deadline, ticket_id);

-- What happened to a ticket, line by line.
create table ticket_steps (
    seq       bigint generated always as identity,
    ticket_id text        not null,
    at        timestamptz not null,
    phase     text        not null,
    step      text        not null,
    actor     text        not null,
    note      text        not null
);
create index ticket_steps_of_ticket on ticket_steps (ticket_id);

-- What customers say of their orders: once for each.
create table ratings (
    order_id text primary key,
    account  text        not null,
    at       timestamptz not null,
    stars    int         not null check (stars between 1 and 5),
    text     text        not null
);
create index ratings_by_age on ratings (at, order_id);
