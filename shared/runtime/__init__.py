"""The runtime: one batch, one transaction (DESIGN §5).

Reading order: `table` (how a decider is written), `said` (what it may say), `shard` (the pure step), `database` (the one
statement that commits it), `worker` (the I/O around the step).
"""
