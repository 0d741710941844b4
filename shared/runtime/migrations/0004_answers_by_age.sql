-- The summaries of blocks that this replaces only ever widen: once the room of what was swept is written anew, each of
-- them holds something old, and every sweep reads the whole table.
drop index answers_at;
create index answers_by_age on answers (shard, at);
