"""Lists come in pages that neither lose nor repeat an item."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http import paging
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


@pytest.mark.parametrize(
    "limit", ["0", "201", "-1", "x", "1.5", "", "9" * 5000, "%2B5", "+5", "5%20", "5.0", "1_0", "5e0", "%D9%A5", "0x5"]
)
async def test_a_limit_is_1_to_200(shop: Shop, limit: str) -> None:
    """Anything else is 422, also what Python takes for a number."""
    check_problem(await shop.client.get(f"/orders?limit={limit}", headers=shop.token()), 422, "invalid_request")


ORDERS_LIST = paging._list_at("/orders")


def _raw(text: str) -> str:
    """A cursor that names the right list, so that what is wrong is the rest."""
    text = text.replace("[", f'["{ORDERS_LIST}",', 1) if text.startswith(("[1", '["a')) else text
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
        _raw('["a-1", 9223372036854775808]'),
        _raw('["a-1", -9223372036854775809]'),
        _raw('["a-1", 1.0]'),
        _raw('["%s", 1]' % ("a" * 8_000)),
        base64.urlsafe_b64encode(b'["a-1", 1]').decode(),
    ],
)
async def test_a_made_up_cursor_is_422(shop: Shop, cursor: str) -> None:
    """Only what the list gave out is taken."""
    check_problem(await shop.client.get("/orders", params={"cursor": cursor}, headers=shop.token()), 422, "bad_cursor")


async def test_a_cursor_is_good_for_its_own_list_alone(shop: Shop) -> None:
    """Not for another whose sort values look the same, nor for the same list of another store."""
    cursor = (await shop.client.get("/stores/s-1/orders?limit=1", headers=shop.token())).json()["next"]
    assert (await shop.client.get(f"/stores/s-1/orders?cursor={cursor}", headers=shop.token())).status_code == 200
    for other in ("/orders", "/stores/s-2/orders"):
        answer = await shop.client.get(f"{other}?cursor={cursor}", headers=shop.token())
        check_problem(answer, 422, "bad_cursor")


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00", "2026-01-01T00:00:00", 5, None]
)
def test_an_instant_in_a_cursor_can_be_stored(at: Any) -> None:
    """The ends of the calendar overflow in UTC: that is a cursor nobody gave out, and no error of ours."""
    cursor = base64.urlsafe_b64encode(json.dumps([paging._list_at(""), at]).encode()).decode()
    with pytest.raises(Problem, match="bad_cursor"):
        Paging(1, cursor).after(datetime)


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
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.just("\U0001f34e" * 500),
    st.integers(-(2**63) + 1, 2**63 - 1),
)
def test_sort_values_come_back(at: datetime, name: str, number: int) -> None:
    """Times, texts and integers pass through a cursor unchanged."""
    page: Any = Paging(1).page([1, 2], last=lambda row: (at, name, number), item=str)
    assert page.items == ["1"]
    assert Paging(1, page.next).after(datetime, str, int) == (at, name, number)
