-- Whoever writes them, by HTTP or by hand: the worker looks afresh.
create trigger blocklist_counted after insert or update or delete or truncate on blocklist
    for each statement execute function count_master_data();
create trigger switch_counted after insert or update or delete or truncate on switch
    for each statement execute function count_master_data();
