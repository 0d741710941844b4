-- The tables that the runtime keeps in every service's database.

create table progress (
    shard      int primary key,
    epoch      bigint not null,
    version    bigint not null,
    cluster_id text   not null,
    offsets    text   not null,  -- JSON {topic: next offset}
    received   text   not null,  -- JSON {"source topic": last link number}
    sent       text   not null,  -- JSON {"topic/partition": last link number made}
    acked      text   not null   -- JSON {"topic/partition": last link number the broker has}
) with (fillfactor = 20);        -- one hot row, rewritten by every commit

-- One row per batch and destination. Kept for a while after publication, so that a broker that lost its log can be
-- given it again.
create table outbox (
    shard            int         not null,
    topic            text        not null,
    kafka_partition  int         not null,
    first_link       bigint      not null,
    last_link        bigint      not null,
    created_at       timestamptz not null,
    records          bytea       not null,
    primary key (shard, topic, kafka_partition, first_link)
);
alter table outbox alter column records set storage external;  -- compressing it costs more than writing it

create table timers (
    subject text        not null,
    name    text        not null,
    shard   int         not null,
    due_at  timestamptz not null,
    primary key (subject, name)
);
create index timers_due on timers (shard, due_at);

create table effects (
    id        text primary key,
    shard     int         not null,
    kind      text        not null,
    arguments text        not null,  -- JSON
    opened_at timestamptz not null
);
create index effects_of_shard on effects (shard);

-- The answers to people's commands; their ids are remembered for `LARDER_ID_MEMORY_S`.
create table answers (
    id          text primary key,
    shard       int         not null,
    at          timestamptz not null,
    accepted    boolean     not null,
    code        text,
    subject     text        not null,
    fingerprint text        not null,
    detail      text        not null
);
create index answers_at on answers using brin (at);

create table parked (
    id              bigint generated always as identity primary key,
    shard           int         not null,
    subject         text        not null,
    topic           text        not null,
    kafka_partition int         not null,
    kafka_offset    bigint      not null,
    message_id      text        not null,
    message_type    text        not null,
    key             bytea,
    headers         jsonb       not null,  -- [[name, value as base64], ...]
    body            bytea,
    code            text        not null,
    reason          text        not null,
    parked_at       timestamptz not null,
    state           text        not null default 'parked' check (state in ('parked', 'replayed', 'dropped'))
);
create index parked_open on parked (shard, subject) where state = 'parked';

create table parked_requests (
    parked_id bigint primary key references parked (id),
    shard     int         not null,
    action    text        not null check (action in ('replay', 'drop')),
    asked_at  timestamptz not null default now()
);
