"""Tallies in Faust's windowed tables: a table each for accounts, devices and addresses.

Tumbling windows as long as risk's memory: the present one and the one before it hold all that is to be known. Faust's
own expiry stays off: it keeps the keys of all windows in memory, and a number for every write, and after a restart it
knows none of them (faust-streaming's issue 385). Here a key begins with its window, so that in RocksDB what is over
lies first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faust
import msgspec
import rocksdict
from faust.serializers.codecs import Codec
from faust.types.windows import WindowRange
from faust.types.windows import WindowRange_from_start as _window

from services.risk.counting import Tally, forget, merged
from services.risk.telling import AHEAD_MS, Subject
from shared.contracts import risk
from shared.contracts.topics import partition_for
from shared.settings import Settings

ABOUTS: tuple[risk.About, ...] = ("account", "device", "address")
PORTION = 200
"""So many tallies are let go of before others have a turn."""
ROCKSDB = {"block_cache_size": 32 << 20, "write_buffer_size": 16 << 20, "max_open_files": 64}
"""For each table and partition; Faust's defaults are 2 GiB and three times 64 MiB."""
_OFFSET_KEY = b"__faust\0offset__"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Tally).decode


class _Key(Codec):
    """(subject, window) as bytes: when the window begins, in milliseconds since 1970, then the subject."""

    def _dumps(self, key: tuple[str, WindowRange]) -> bytes:
        subject, (start, _) = key
        return round(start * 1000).to_bytes(8, "big") + subject.encode()

    def _loads(self, key: bytes) -> tuple[str, WindowRange]:
        start = int.from_bytes(key[:8], "big") / 1000
        return key[8:].decode(), _window(start, self.kwargs["size"])


class Tallies:
    """The tallies of the partitions that this process has."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self._shards = settings.shards
        self._memory_ms = round(settings.risk_memory_s * 1000)
        self._tables: dict[str, Any] = {}
        self._windowed: dict[str, Any] = {}
        for about in ABOUTS:
            table: Any = app.Table(
                about,
                default=bytes,
                value_type=bytes,
                partitions=settings.shards,
                options=dict(ROCKSDB) if settings.signals_store == "rocksdb" else None,
            )
            table.key_serializer = _Key(size=self._memory_ms / 1000)
            self._tables[about] = table
            self._windowed[about] = table.tumbling(self._memory_ms / 1000)

    def window(self, at_ms: int) -> WindowRange:
        """The window that a moment falls into; as Faust has them, in whole milliseconds."""
        return _window((at_ms - at_ms % self._memory_ms) / 1000, self._memory_ms / 1000)

    def load(self, subject: Subject, window: WindowRange) -> Tally:
        """What was counted of a subject in a window."""
        about, name = subject
        kept: bytes = self._windowed[about][name][window]
        return _decode(kept) if kept else Tally()

    def keep(self, subject: Subject, window: WindowRange, tally: Tally) -> None:
        """Writes a tally, to the store and its changelog; only where Faust processes a record."""
        about, name = subject
        self._windowed[about][name][window] = _encode(tally)

    def known(self, subject: Subject, now_ms: int) -> Tally | None:
        """All that is to be known of a subject now; None for nothing."""
        begin_ms = now_ms - self._memory_ms
        whole = Tally()
        for window in sorted({self.window(at_ms) for at_ms in (begin_ms, now_ms, now_ms + AHEAD_MS)}):
            whole = merged(whole, self.load(subject, window))
        return whole if forget(whole, begin_ms) else None

    async def expire(self, now_ms: int) -> int:
        """Lets go of windows that nothing is to be known of any more, here and in the changelogs; returns how many
        tallies went."""
        begin, _ = self.window(now_ms - self._memory_ms)
        gone = 0
        for table in self._tables.values():
            for key in self._over(table, begin):
                table.send_changelog(partition_for(key[0], self._shards), key, None, value_serializer="raw")
                table.data.pop(key, None)
                gone += 1
                if gone % PORTION == 0:
                    await asyncio.sleep(0)
        return gone

    def close(self) -> None:
        """Lets go of the stores: an acknowledgement that comes when Faust has closed them opens them again."""
        for table in self._tables.values():
            getattr(table.data, "_dbs", {}).clear()

    def _over(self, table: Any, begin: float) -> Iterator[tuple[str, WindowRange]]:
        databases = getattr(table.data, "_dbs", None)
        if databases is None:
            yield from [key for key in table.data if key[1][0] < begin]
            return
        for database in list(databases.values()):
            keys = database.iter()
            keys.seek_to_first()
            while keys.valid() and keys.key() != _OFFSET_KEY:
                key = table.key_serializer.loads(keys.key())
                if key[1][0] >= begin:
                    break
                yield key
                keys.next()


def forget_offsets(folder: Path) -> None:
    """Makes Faust read the changelogs from their beginning, into stores that keep what they have."""
    for path in folder.rglob("*.db"):
        database = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
        database.delete(_OFFSET_KEY)
        database.close()
