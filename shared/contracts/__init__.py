"""The messages of larder: one module per service, named for the service that listens (commands) or says (events).

Whoever names a message names its module with it, so that a reader sees who says it, or who is to do it:
`inventory.StockHeld`, `payment.TakePayment`. The order's own module is known as `ordering`, since an `order` is
everywhere the order itself. What belongs to no service (base, topics, texts, levels) is imported by name.
"""
