"""Small disks of a test's own, where the machine lets us make them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A file system of that size at a folder; the test is skipped where it may not be mounted."""
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        pytest.skip(f"no small disk here: there is no program mount ({error.strerror})")
    if mounted.returncode:
        pytest.skip(f"no small disk here: only root may mount one ({mounted.stderr.strip()})")
    try:
        yield folder
    finally:
        # Lazily: a process that ends a moment later still has files open there.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def make_read_only(folder: Path) -> None:
    """From now on nothing can be written to the small disk at this folder."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, capture_output=True)
