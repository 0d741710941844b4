"""Topics and partitions: the same key goes to the same shard of every service."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2

SERVICES = ("order", "inventory", "risk", "payment", "logistics", "aftersales")

KEYS_REMEMBERED = 65_536
"""Most keys whose partition is remembered; hashing one costs some microseconds."""


def commands_of(service: str) -> str:
    """The topic of orders to a service."""
    return f"{service}.commands"


def events_of(service: str) -> str:
    """The topic of facts that a service tells."""
    return f"{service}.events"


def answers_of(service: str) -> str:
    """The topic of a service's answers to people's commands, apart from its facts: no other service hears them."""
    return f"{service}.answers"


def parked_of(service: str) -> str:
    """The topic that tells what nobody could handle, and why."""
    return f"{service}.parked"


def levels_of(service: str) -> str:
    """The compacted topic of what a service has, the newest of each: see `shared.contracts.levels`."""
    return f"{service}.levels"


LEVEL_TOPICS = (levels_of("inventory"), levels_of("logistics"))
ACTIVITY = "risk.activity"
"""What accounts did, told by the services, many in one record: what risk learns from."""
SIGNALS = "risk.signals"
"""How accounts, devices and addresses conduct themselves, as risk's stream application counts it."""

ALL_TOPICS = (
    *(topic(s) for s in SERVICES for topic in (commands_of, events_of, answers_of, parked_of)),
    ACTIVITY,
    SIGNALS,
    *LEVEL_TOPICS,
)

SIGNALS_GROUP = "larder-signals"
"""The consumer group of risk's stream application, and the beginning of its changelogs' names."""


def changelogs_of(group: str) -> tuple[str, ...]:
    """Where a stream application keeps copies of its tables, named as Faust names them."""
    return tuple(f"{group}-{about}-changelog" for about in ("account", "device", "address"))


CHANGELOGS = changelogs_of(SIGNALS_GROUP)
MADE_TOPICS = (*ALL_TOPICS, *CHANGELOGS)
"""Those that larder makes: the ones with contracts, and the changelogs, which only their owner reads."""
COMPACTED_TOPICS = (*LEVEL_TOPICS, *CHANGELOGS)
"""Those of which the newest record of each key is kept, whatever its age."""


def partition_for(key: str, shards: int) -> int:
    """The shard of a key: murmur2, as Kafka's own default partitioner, so that any producer agrees."""
    return 0 if shards == 1 else _murmur(key) % shards


@lru_cache(maxsize=KEYS_REMEMBERED)
def _murmur(key: str) -> int:
    return int(murmur2(key.encode())) & 0x7FFFFFFF
