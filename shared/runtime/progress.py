"""A shard's progress: how far it has read, received, sent, and who owns it. One row; every commit passes its gate."""

from __future__ import annotations

from msgspec import Struct, field


class Progress(Struct, frozen=True):
    """Epoch and version are the gate: a commit moves the row only `where epoch = mine and version = expected`.

    `offsets`: next offset to read, by topic. `received`: last link number by "source topic". `sent` and `acked`: last
    link number made, and last one that the broker has acknowledged, by "topic/partition".
    """

    shard: int
    epoch: int = 0
    version: int = 0
    cluster_id: str = ""
    offsets: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)
