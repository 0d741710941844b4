"""Reads CSV files, plain or gzip, a row at a time, and says of what is wrong in which line it stands."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, cast

from larder.load.errors import FileError

LINE_MAX = 256 * 1024
"""Most bytes of one line: what has no line feeds is not read into memory."""
TOLD_MAX = 200
"""Most characters of a file's own first line in an error."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs"}


class Rows:
    """The rows of a file whose first line names at least `columns`. Whatever is wrong raises a FileError."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.line = 0
        """The line that was read last, from 1."""
        self._path = path
        self._columns = columns

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """The fields of `columns`, in their order, row after row; empty lines and other columns are passed over."""
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise FileError(self._path, f"cannot be opened: {error.strerror}") from None
        with file:
            try:
                packed = file.peek(2)[:2] == _GZIP
                rows = csv.reader(self._lines(cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file))
                titles = self._checked(next(rows, None))
                width, wanted = len(titles), itemgetter(*map(titles.index, self._columns))
                for row in rows:
                    if len(row) == width:
                        yield wanted(row)
                    elif row:
                        raise self.wrong(f"{len(row)} fields where the first line names {width}")
            except csv.Error as error:
                raise self.wrong(f"no CSV: {error}") from None
            except (OSError, EOFError, zlib.error) as error:
                raise FileError(
                    self._path, f"cannot be read to its end: damaged after line {self.line} ({error})"
                ) from None

    def wrong(self, what: str, line: int | None = None) -> FileError:
        """The error about a line, else about the one read last."""
        return FileError(self._path, what, line or self.line)

    def _lines(self, stream: BinaryIO) -> Iterator[str]:
        while raw := stream.readline(LINE_MAX):
            self.line += 1
            if self.line == 1:
                if raw.startswith(_UTF_16) or b"\x00" in raw:
                    raise self.wrong("this looks like UTF-16; save the file as UTF-8")
                raw = raw.removeprefix(_BOM)
            if len(raw) == LINE_MAX and not raw.endswith(b"\n"):
                raise self.wrong(f"longer than {LINE_MAX:,} bytes, so this is no file of rows")
            try:
                yield raw.decode()
            except UnicodeDecodeError as error:
                byte = raw[error.start]
                raise self.wrong(f"not UTF-8 text (byte 0x{byte:02x} at {error.start + 1}); save it as UTF-8") from None

    def _checked(self, titles: list[str] | None) -> list[str]:
        if not titles:
            raise FileError(self._path, f"is empty: its first line names the columns {','.join(self._columns)}")
        missing = [column for column in self._columns if column not in titles]
        if missing:
            there = ", ".join(titles)[:TOLD_MAX]
            self._refuse_other_delimiters(titles)
            raise self.wrong(f"no column {', '.join(missing)} (there are: {there})")
        return titles

    def _refuse_other_delimiters(self, titles: list[str]) -> None:
        for delimiter, name in _OTHER_DELIMITERS.items():
            parted = next(csv.reader(io.StringIO(",".join(titles)), delimiter=delimiter))
            if set(self._columns) <= {title.strip() for title in parted}:
                raise self.wrong(f"its columns are parted by {name}, and this wants commas")
