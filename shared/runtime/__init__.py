"""The runtime: one batch, one transaction (DESIGN §5).

Reading order: `table` (how a decider is written), `said` (what it may say), `shard` (the pure step), `statement` and
`database` (the one statement that commits it), `owner` and `worker` (the I/O around the step).
"""
