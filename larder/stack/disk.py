"""The disk under a home: whether it is full, in the words that everybody uses, and waiting until it is not."""

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from larder.stack.home import Home

DISK_FULL_BYTES = 32 * 1024 * 1024
"""With less than this free the disk is full: PostgreSQL takes its log 16 MiB at a time, Kafka an index 10 MiB."""
LOOK_S = 0.5


@dataclass(frozen=True)
class Disk:
    """What is left of the disk that holds this folder."""

    folder: Path
    free_bytes: int

    @property
    def is_full(self) -> bool:
        """Whether the parts can be expected to fail."""
        return self.free_bytes < DISK_FULL_BYTES

    def __str__(self) -> str:
        if not self.is_full:
            return f"{self.free_bytes / 2**30:.1f} GiB free in {self.folder}"
        return (
            f"disk full: {self.free_bytes / 2**20:.1f} MiB free in {self.folder}, and PostgreSQL and Kafka stop below "
            f"{DISK_FULL_BYTES // 2**20}. Make space; what has died is then started again"
        )


def disk_of(home: Home) -> Disk:
    """The disk of a home, or, if that was not made yet, of the folder that it would be made in."""
    folder = next(path for path in (home.root, *home.root.parents) if path.exists())
    return Disk(folder, shutil.disk_usage(folder).free)


async def until_space(home: Home, patience_s: float) -> bool:
    """Waits until the disk is not full any more; says whether it is so."""
    end = time.monotonic() + patience_s
    while disk_of(home).is_full:
        if time.monotonic() > end:
            return False
        await asyncio.sleep(LOOK_S)
    return True
