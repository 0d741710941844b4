-- Counts the changes of master data, so that a worker knows whether what it remembers still holds. The row is locked until
-- the change commits: changes count in the order in which they become visible.
create table master_data (
    only_row boolean primary key default true check (only_row),
    version  bigint  not null
) with (fillfactor = 20);
insert into master_data (version) values (1);

create function count_master_data() returns trigger language plpgsql as $$
begin
    update master_data set version = version + 1;
    return null;
end $$;
