"""All of larder in one thread, on a virtual clock, under bad weather: one seed is one evening (DESIGN §7).

The six deciders and the shard's step are the real ones; what is around them (log, databases, gateway's line, people) is
in memory and misbehaves as a seed says. The same seed gives the same evening, byte for byte.

Reading order: `weather` (what may go wrong), `clock`, `log`, `database` and `link` (the parts), `owner` (one shard at
work), `gateway`, `signals` (who counts), `people` with `customers`, `staff`, `road`, `customer_service`
and `poison` (who sends what), `world` (all of it together),
`rows` and `books` (what `larder.audit` is shown), `witnesses` (what only the simulation can know),
`story` (what a failure tells).
"""
