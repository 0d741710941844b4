-- For the sweep of what is over. Its columns never change, so that updates stay within their page (HOT).
create index fulfilments_by_age on fulfilments (received_at, order_id);
