-- Whoever erases an order's personal data finds its returns by it. It never changes.
create index returns_of_order on returns (order_id);
