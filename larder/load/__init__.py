"""The load generator: real baskets become orders; robots pay, pick, pack and deliver them; the audit judges.

Reading order: `baskets` (the file), `play` (what is to be played, ready to be sent), `mix` (who pays, who does not),
`adversaries` (who orders, when not all are customers), `shelves` (stores, products, stock), `order`, `robots` and
`back` (what is done at which event; no I/O), `lines` (Kafka), `figures` and `watch` (what is measured), `display` and
`evening` (progress), `run` (all of it together), `compare` (the same under other rules). Sales: `promotions` (what is
on during a load), `flash` (a crowd for few pieces), `flash_run` (the crowd beside ordinary orders), `hot` (one store's
shard alone).
`sample` is the data that travels along, `cut_sample` how it was cut.
"""
