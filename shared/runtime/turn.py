"""One turn of whoever owns shards, sans-I/O: which ids are known, is master data still so, what is missing, decide.

A turn is a generator that asks its questions and is told the answers; it ends with what is to be committed. The worker
drives it with a database, the simulation with memory and faults, so that the rules of crashes and zombies act on the
very code that runs. A turn goes over all shards of its owner at once: one question, one commit, for however many.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from shared.runtime.commit import Commit
from shared.runtime.decider import NotLoaded
from shared.runtime.shard import Shard, Work
from shared.runtime.table import Key


class Share(NamedTuple):
    """A shard's share of a turn."""

    shard: Shard
    works: Sequence[Work]


class AskKnown(NamedTuple):
    """Which of these ids have their answer, and how often has master data changed? Answered by `Known`."""

    ids: Sequence[str]


class AskStates(NamedTuple):
    """What is stored under these keys? Answered by a mapping of all of them, None for what is not there."""

    keys: set[Key]


class Known(NamedTuple):
    """What a turn may rest on: which of its ids were answered before, and how often master data has changed."""

    answered: Sequence[str]
    master_data: int


Question = AskKnown | AskStates
Turn = Generator[Question, Any, list[Commit]]


def decided(shares: Sequence[Share], now: datetime) -> Turn:
    """Decides each share; returns their commits in the order of the shares. No shard changes by it, but for what it
    has learnt: `Shard.committed` is for whoever has written the commit."""
    if ids := [id_ for shard, works in shares for id_ in shard.outside_ids(works)]:
        yield from _known(shares, ids)
    commits: dict[int, Commit] = {}
    absent: dict[int, Key] = {}
    """A key that the first work of a share looked at without naming it: each round loads one more."""
    while len(commits) < len(shares):
        waiting = [(n, share) for n, share in enumerate(shares) if n not in commits]
        missing = {n: shard.missing(works) for n, (shard, works) in waiting}
        if doubting := [share for _, share in waiting if share.shard.doubts_master_data]:
            yield from _known(doubting, ())
            continue
        for n, key in absent.items():
            missing[n].add(key)
        absent.clear()
        if keys := set().union(*missing.values()):
            found: Mapping[Key, Any] = yield AskStates(keys)
            for n, (shard, _) in waiting:
                shard.learn({key: found[key] for key in missing[n]})
        for n, (shard, works) in waiting:
            if missing[n] and not shard.named_all:
                continue  # what it could not name before, it may now
            try:
                commits[n] = shard.decide(works, now)
            except NotLoaded as unnamed:
                absent[n] = unnamed.key
    return [commits[n] for n in range(len(shares))]


def _known(shares: Sequence[Share], ids: Sequence[str]) -> Generator[Question, Any, None]:
    known: Known = yield AskKnown(ids)
    for shard, _ in shares:
        if ids:
            shard.known(known.answered)
        shard.master_data_is(known.master_data)


def answered(turn: Turn, answer: Callable[[Question], Any]) -> list[Commit]:
    """Drives a turn with answers that are there at once."""
    try:
        question = next(turn)
        while True:
            question = turn.send(answer(question))
    except StopIteration as end:
        commits: list[Commit] = end.value
        return commits
