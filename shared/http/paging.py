"""Lists in pages: `limit` and an opaque `cursor` in, {items, next} out.

The cursor holds the sort values of the last item, so a page costs the same wherever it stands and nothing that is
written in between shifts it. It names its list (a hash of the address), and no other list takes it. The query takes
`paging.fetch` rows (one more than asked, to know whether there is more):

    rows = await pool.fetch(SQL, *paging.after(datetime, str), paging.fetch)
    return paging.page(rows, last=lambda row: (row["at"], row["id"]), item=order_row)
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel, BeforeValidator

from shared.http.problems import refusal

LIMIT_MAX = 200
LIMIT_DEFAULT = 50
CURSOR_MAX = 8_000
"""Longest cursor that is read: sort values can be texts of 500 characters, four bytes each."""
_LIST_CHARS = 12
_DIGITS = re.compile("[0-9]{1,9}")
_INT8_MAX = 2**63 - 1

Row = TypeVar("Row")
Item = TypeVar("Item")
SortValue = str | int | datetime


class Page(BaseModel, Generic[Item]):
    """A page of a list; `next` is the cursor of the one behind it, null on the last."""

    items: list[Item]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Paging:
    """The page that was asked for, and the address of the list."""

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    address: str = ""

    @property
    def fetch(self) -> int:
        """How many rows to ask the database for."""
        return self.limit + 1

    def after(self, *kinds: type[SortValue]) -> tuple[SortValue | None, ...]:
        """The sort values behind which the page begins, of these kinds; all None for the first page. 422 `bad_cursor`
        when the cursor is another list's, or does not hold such values."""
        if self.cursor is None:
            return (None,) * len(kinds)
        try:
            if len(self.cursor) > CURSOR_MAX:
                raise ValueError("too long")
            said = json.loads(base64.b64decode(self.cursor.encode("ascii"), altchars=b"-_", validate=True))
            if not isinstance(said, list) or len(said) != 1 + len(kinds) or said[0] != _list_at(self.address):
                raise ValueError("another list's cursor")
            return tuple(_sort_value(value, kind) for value, kind in zip(said[1:], kinds, strict=True))
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            raise refusal("bad_cursor", "pass `next` of the page before, unchanged") from None

    def page(
        self,
        rows: Sequence[Row],
        *,
        last: Callable[[Row], tuple[SortValue, ...]],
        item: Callable[[Row], Item],
    ) -> Page[Item]:
        """The page of up to `limit` of the rows; `last` gives a row's sort values, `item` what is shown of it."""
        shown = rows[: self.limit]
        more = len(rows) > self.limit
        following = _cursor(self.address, last(shown[-1])) if more else None
        return Page(items=[item(row) for row in shown], next=following)


def _sort_value(value: Any, kind: type[SortValue]) -> SortValue:
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError("a time without a zone")
        return at.astimezone(UTC)  # overflows at the ends of the calendar, here and not in the driver
    # `type is`, since True is an int as well.
    if type(value) is not kind or (isinstance(value, int) and abs(value) > _INT8_MAX):
        raise ValueError("not of its kind")
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("NUL")
        value.encode("utf-8")  # half a surrogate pair raises a ValueError here
    sort_value: SortValue = value
    return sort_value


def _list_at(address: str) -> str:
    return hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:_LIST_CHARS]


def _cursor(address: str, values: tuple[SortValue, ...]) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    text = json.dumps([_list_at(address), *plain], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode()


def _digits(limit: object) -> object:
    """`int` would take `+5`, ` 5 `, `5.0` and `1_0` as well."""
    if isinstance(limit, str) and not _DIGITS.fullmatch(limit):
        raise ValueError(f"must be a number from 1 to {LIMIT_MAX}, in digits")
    return limit


async def _paging(
    request: Request,
    limit: Annotated[int, BeforeValidator(_digits), Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> Paging:
    return Paging(limit, cursor, request.scope["path"])


Paged = Annotated[Paging, Depends(_paging)]
"""Declare a parameter of this type, and the route takes `limit` and `cursor`."""
