"""Lists in pages: `limit` and an opaque `cursor` in, {items, next} out.

The cursor holds the sort values of the last item, so a page costs the same wherever it stands and nothing that is
written in between shifts it. The query takes `paging.fetch` rows (one more than asked, to know whether there is more):

    rows = await pool.fetch(SQL, *paging.after(datetime, str), paging.fetch)
    return paging.page(rows, last=lambda row: (row["at"], row["id"]), item=order_row)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

from shared.http.problems import refusal

LIMIT_MAX = 200
LIMIT_DEFAULT = 50
CURSOR_MAX = 1_000
"""Most characters of a cursor."""
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
    """The page that was asked for."""

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None

    @property
    def fetch(self) -> int:
        """How many rows to ask the database for."""
        return self.limit + 1

    def after(self, *kinds: type[SortValue]) -> tuple[SortValue | None, ...]:
        """The sort values behind which the page begins, of these kinds; all None for the first page. 422 `bad_cursor`
        when the cursor does not hold such values."""
        if self.cursor is None:
            return (None,) * len(kinds)
        try:
            values = json.loads(base64.b64decode(self.cursor.encode("ascii"), altchars=b"-_", validate=True))
            if not isinstance(values, list) or len(values) != len(kinds):
                raise ValueError("another list's cursor")
            return tuple(_sort_value(value, kind) for value, kind in zip(values, kinds, strict=True))
        except (ValueError, TypeError, RecursionError):
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
        return Page(items=[item(row) for row in shown], next=_cursor(last(shown[-1])) if more else None)


def _sort_value(value: Any, kind: type[SortValue]) -> SortValue:
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError("a time without a zone")
        return at
    # `type is`, since True is an int as well.
    if type(value) is not kind or (isinstance(value, int) and abs(value) > _INT8_MAX):
        raise ValueError("not of its kind")
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("NUL")
        value.encode("utf-8")  # half a surrogate pair raises a ValueError here
    sort_value: SortValue = value
    return sort_value


def _cursor(values: tuple[SortValue, ...]) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode()


async def _paging(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, Query(max_length=CURSOR_MAX, description="`next` of the page before")] = None,
) -> Paging:
    return Paging(limit, cursor)


Paged = Annotated[Paging, Depends(_paging)]
"""Declare a parameter of this type, and the route takes `limit` and `cursor`."""
