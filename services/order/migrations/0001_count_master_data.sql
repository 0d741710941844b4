-- Whoever writes them, by HTTP or by hand: the worker looks afresh.
create trigger products_counted after insert or update or delete or truncate on products
    for each statement execute function count_master_data();
create trigger stores_counted after insert or update or delete or truncate on stores
    for each statement execute function count_master_data();
