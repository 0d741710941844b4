-- Who asked for a parked message to be replayed or dropped and why, and then, on the message itself, for whom it was done,
-- why and when. Null: nobody told, or it was done before this was kept.
alter table parked_requests add column asked_by text, add column asked_because text;
alter table parked add column closed_by text, add column closed_because text, add column closed_at timestamptz;

-- For the figures of what is open (`GET /operations`): of each kind how many, and since when.
create index parked_kinds on parked (code, message_type, parked_at) where state = 'parked';
