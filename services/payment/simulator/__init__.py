"""The built-in payment gateway: `front.GatewaySimulator` answers the calls.

In reading order: `rules` over a `book`; the `bookkeeper` in memory and the one in `postgres` (its SQL in `rows`, its
tables in ../gateway.sql); `webhook`; `front`.
"""
