-- A conduct is told again with most orders, and the index on its moment was written with each telling, beside the key's.
-- The day changes once a day: all other tellings stay on their page (HOT), which keeps room for them.
drop index conducts_by_age;
alter table conducts add column day bigint generated always as (at / 86400000) stored;  -- days since 1970
alter table conducts set (fillfactor = 60);
create index conducts_by_day on conducts (day);
