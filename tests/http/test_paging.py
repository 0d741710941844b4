"""Lists come in pages that neither lose nor repeat an item."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.paging import Paging
from shared.http.problems import Problem
from tests.http.shop import ORDERS, Shop, check_problem


@pytest.mark.parametrize("limit", [1, 3, 7, 200])
async def test_pages_tell_everything_once(shop: Shop, limit: int) -> None:
    """Following `next` to its end gives the whole list in order."""
    told: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        address = f"/orders?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        page = (await shop.client.get(address, headers=shop.token())).json()
        told += [item["order_id"] for item in page["items"]]
        cursor = page["next"]
        pages += 1
    assert told == [f"{account}/{number}" for account, number in sorted(ORDERS)]
    assert pages == -(-len(ORDERS) // limit)


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", "", "9" * 5000])
async def test_a_limit_is_1_to_200(shop: Shop, limit: str) -> None:
    """Anything else is 422."""
    check_problem(await shop.client.get(f"/orders?limit={limit}", headers=shop.token()), 422, "invalid_request")


def _raw(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "",
        "%20",
        "ä",
        _raw("{}"),
        _raw("[]"),
        _raw("[1, 1]"),
        _raw('["a-1", "1"]'),
        _raw('["a-1", true]'),
        _raw('["a-1", 1, 1]'),
        _raw('["a-1", %s]' % ("9" * 30)),
        _raw('["a\\u0000", 1]'),
        _raw('["\\ud800", 1]'),
        _raw("[" * 300),
        _raw('["a", NaN]'),
    ],
)
async def test_a_made_up_cursor_is_422(shop: Shop, cursor: str) -> None:
    """Only what the list gave out is taken."""
    check_problem(await shop.client.get("/orders", params={"cursor": cursor}, headers=shop.token()), 422, "bad_cursor")


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_no_cursor_surprises(cursor: str) -> None:
    """Whatever it holds, a cursor gives values of its kinds or a problem."""
    try:
        at, name = Paging(10, cursor).after(datetime, str)
    except Problem:
        return
    assert isinstance(at, datetime)
    assert isinstance(name, str)


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.integers(-(2**63) + 1, 2**63 - 1),
)
def test_sort_values_come_back(at: datetime, name: str, number: int) -> None:
    """Times, texts and integers pass through a cursor unchanged."""
    page: Any = Paging(1).page([1, 2], last=lambda row: (at, name, number), item=str)
    assert page.items == ["1"]
    assert Paging(1, page.next).after(datetime, str, int) == (at, name, number)
