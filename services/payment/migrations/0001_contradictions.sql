-- What was told of money from outside, word for word: told otherwise it is another row. Few: the gateway tells of money
-- only where no answer of its did.
create table reports (
    order_id    text        not null,
    digest      text        not null,  -- of all that was told
    phase       text        not null,
    reference   text        not null,
    attempt_key text        not null,
    amount      bigint      not null,
    at          timestamptz not null,
    told_by     text        not null,
    asked       int         not null,  -- how often the gateway was asked about it
    primary key (order_id, digest)
);

-- What was told of money and disagrees with what is known. It moved nothing; each wants a person, who settles it.
create table contradictions (
    id         bigint      generated always as identity primary key,
    order_id   text        not null,
    reference  text        not null,
    at         timestamptz not null,
    why        text        not null,
    told_by    text        not null,
    told       text        not null,  -- JSON, to be compared with
    known      text        not null,  -- JSON
    settled_at timestamptz,
    settled_by text,
    note       text
);
create index contradictions_of_order on contradictions (order_id);
create index contradictions_open on contradictions (id) where settled_at is null;
