-- How far each sweep of what does not stay for ever has come, by age (shared/runtime/sweep.py).
create table sweeps (
    name text        primary key,
    at   timestamptz not null,
    key  text        not null
);

-- What a sweep has passed and was not over yet: few.
create table sweeps_later (
    name    text        not null,
    key     text        not null,
    look_at timestamptz not null,
    primary key (name, key)
);
create index sweeps_later_due on sweeps_later (name, look_at);

-- Written when a parked message is settled, and gone with it.
create index parked_settled on parked (parked_at) where state <> 'parked';
