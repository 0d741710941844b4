-- For the sweep of what is decided.
create index reviews_by_age on reviews (asked_at, order_id);
