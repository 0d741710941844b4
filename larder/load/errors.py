"""What can go wrong with a load, told so that the reader knows what to do next."""

from pathlib import Path

from shared.printable import printable


class LoadError(RuntimeError):
    """The load cannot begin, or cannot go on; the message says why and what to do."""


class FileError(LoadError):
    """A file cannot be played; the message names the file and the line."""

    def __init__(self, path: Path, what: str, line: int | None = None) -> None:
        super().__init__(printable(f"{path}{f', line {line}:' if line else ''} {what}"))
