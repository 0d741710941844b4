"""The risk service: what analysts do over HTTP, and what it does to the next order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from services.risk.api import routes
from services.risk.decider import DECIDER
from services.risk.store import RiskStore
from shared.contracts.risk import CustomerCancelled, ScreenOrder, WithdrawScreening
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts


@pytest.fixture
async def risk(parts: RealParts) -> AsyncIterator[Inside]:
    """A risk service with an empty database."""
    async with inside(DECIDER, RiskStore(), routes, parts.fresh_database) as service:
        yield service


def order(number: int = 1, **more: Any) -> ScreenOrder:
    """An order to be screened."""
    return ScreenOrder(order_id=f"o-{number}", account=more.pop("account", "a-1"), total=649, **more)


async def put(risk: Inside, kind: str, value: str, **body: Any) -> dict[str, Any]:
    """Puts somebody on the blocklist."""
    answer = await risk.ask("PUT", f"/blocklist/{kind}/{quote(value)}", {"reason": "chargebacks", **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def referred(risk: Inside, number: int = 1, **more: Any) -> None:
    """An order that waits for a person."""
    await put(risk, "account", "a-1", treatment="refer")
    assert await risk.hear(order(number, **more)) == ["OrderReferred"]


async def test_entry_counts_for_the_next_order(risk: Inside) -> None:
    """A PUT that was answered is seen by the next order, a DELETE as well; no entry is ever cached."""
    assert await risk.hear(order(1)) == ["OrderCleared"]
    entry = await put(risk, "account", "a-1")
    assert (entry["treatment"], entry["until"], entry["changed_by"]) == ("refuse", None, "admin:")
    assert await risk.hear(order(2)) == ["OrderRefused"]
    await put(risk, "account", "a-1", treatment="restrict")
    assert await risk.hear(order(3)) == ["OrderRestricted"]
    assert (await risk.ask("DELETE", "/blocklist/account/a-1")).status_code == 204
    assert await risk.hear(order(4)) == ["OrderCleared"]
    gone = await risk.ask("DELETE", "/blocklist/account/a-1")
    assert (gone.status_code, gone.json()["code"]) == (404, "entry_unknown")


async def test_address_with_slashes_matches_however_it_is_written(risk: Inside) -> None:
    """Slashes and spaces belong to addresses; case and spacing do not count, in PUT, order and DELETE."""
    entry = await put(risk, "address", "12/3 Mill Lane, c/o Smith")
    assert entry["value"] == "12/3 mill lane, c/o smith"
    assert await risk.hear(order(1, address="  12/3  MILL lane, C/O Smith")) == ["OrderRefused"]
    assert (await risk.ask("DELETE", "/blocklist/address/12%2F3%20MILL%20LANE,%20c/o%20smith")).status_code == 204
    assert await risk.hear(order(2, address="12/3 Mill Lane, c/o Smith")) == ["OrderCleared"]


async def test_entry_counts_until_its_end(risk: Inside) -> None:
    """An entry with an end in the past says nothing any more."""
    now = datetime.now(UTC)
    await put(risk, "device", "d-1", until=(now + timedelta(hours=1)).isoformat())
    assert await risk.hear(order(1, device="d-1")) == ["OrderRefused"]
    await put(risk, "device", "d-1", until=(now - timedelta(hours=1)).isoformat())
    assert await risk.hear(order(2, device="d-1")) == ["OrderCleared"]


async def test_blocklist_in_pages(risk: Inside) -> None:
    """All entries, each once, whatever the size of the page; or those of one kind."""
    for number in range(5):
        await put(risk, "account", f"a-{number}")
    await put(risk, "device", "d-1")
    seen: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await risk.ask("GET", "/blocklist", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [(entry["kind"], entry["value"]) for entry in page["items"]]
        cursor = page["next"]
    assert seen == [*(("account", f"a-{number}") for number in range(5)), ("device", "d-1")]
    devices = (await risk.ask("GET", "/blocklist?kind=device")).json()["items"]
    assert [entry["value"] for entry in devices] == ["d-1"]


async def test_switched_off_restricts_everybody(risk: Inside) -> None:
    """Off: the next order is restricted. On again: it is screened."""
    assert (await risk.ask("GET", "/switch")).json()["on"] is True
    assert (await risk.ask("PUT", "/switch", {"on": False})).json()["on"] is False
    assert await risk.hear(order(1)) == ["OrderRestricted"]
    assert (await risk.ask("PUT", "/switch", {"on": True})).json()["on"] is True
    assert await risk.hear(order(2)) == ["OrderCleared"]


@pytest.mark.parametrize(
    ("verdict", "said"), [("clear", "OrderCleared"), ("restrict", "OrderRestricted"), ("refuse", "OrderRefused")]
)
async def test_review_decided_by_a_person(risk: Inside, verdict: str, said: str) -> None:
    """It is on the list with what there is to see, then decided, then off the list."""
    await referred(risk, device="d-1", address="12 Mill Lane")
    (review,) = (await risk.ask("GET", "/reviews", role="risk_analyst")).json()["items"]
    assert (review["order_id"], review["account"], review["total"]) == ("o-1", "a-1", 649)
    assert (review["device"], review["address"], review["verdict"]) == ("d-1", "12 Mill Lane", None)
    answer = await risk.ask("POST", "/reviews/o-1", {"verdict": verdict, "note": "n"}, role="risk_analyst")
    assert (answer.status_code, answer.headers["Location"]) == (202, "/reviews/o-1")
    assert (answer.json()["verdict"], answer.json()["note"], answer.json()["decided_by"]) == (
        verdict,
        "n",
        "risk_analyst:",
    )
    assert (await risk.ask("GET", "/reviews")).json()["items"] == []
    assert said in str(risk.commits[-1].outbox)


async def test_same_key_same_answer(risk: Inside) -> None:
    """A verdict sent twice under one key is one verdict; without it, the second is told that it came too late."""
    await referred(risk)
    key = {"Idempotency-Key": "k-1"}
    for _ in range(2):
        answer = await risk.ask("POST", "/reviews/o-1", {"verdict": "clear", "note": ""}, headers=key)
        assert answer.status_code == 202
    late = await risk.ask("POST", "/reviews/o-1", {"verdict": "refuse", "note": ""})
    assert (late.status_code, late.json()["code"]) == (409, "review_not_open")
    unknown = await risk.ask("POST", "/reviews/o-9", {"verdict": "refuse", "note": ""})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "review_unknown")


async def test_review_that_nobody_decides_is_restricted(risk: Inside) -> None:
    """At the deadline, also after a restart."""
    await referred(risk)
    assert await risk.time_passes(899) == []
    await risk.forget()
    assert await risk.time_passes(901) == ["OrderRestricted"]
    assert (await risk.ask("GET", "/reviews")).json()["items"] == []


async def test_withdrawn_review_is_off_the_list(risk: Inside) -> None:
    """The order ended: nobody needs to look, and the deadline says nothing."""
    await referred(risk)
    await risk.forget()
    assert await risk.hear(WithdrawScreening(order_id="o-1", account="a-1")) == []
    assert (await risk.ask("GET", "/reviews")).json()["items"] == []
    assert await risk.time_passes(901) == []


async def test_standing_of_an_account(risk: Inside) -> None:
    """What its orders came to, and why it is on the list; nothing for somebody nobody knows."""
    await risk.hear(order(1))
    await risk.hear(order(2))
    await put(risk, "account", "a-1", treatment="restrict")
    await risk.hear(order(3))
    standing = (await risk.ask("GET", "/accounts/a-1")).json()
    assert standing["screenings"] == {"cleared": 2, "restricted": 1}
    assert [entry["reason"] for entry in standing["blocklist"]] == ["chargebacks"]
    assert (await risk.ask("GET", "/accounts/a-2")).json() == {
        "account": "a-2",
        "screenings": {},
        "cancelled": 0,
        "cancels": {},
        "last_cancelled_at": None,
        "blocklist": [],
    }


async def test_customers_cancels_are_counted(risk: Inside) -> None:
    """By reason, each order once, also when it is told again after a restart; other accounts' are not in there."""
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def cancelled(number: int, reason: str = "cancelled_by_customer", account: str = "a-1") -> CustomerCancelled:
        moment = at + timedelta(minutes=number)
        return CustomerCancelled(account=account, order_id=f"o-{number}", reason=reason, at=moment)

    for activity in (cancelled(1), cancelled(2), cancelled(3, "not_reachable"), cancelled(4, account="a-2")):
        assert await risk.hear(activity) == []
    await risk.forget()
    await risk.hear(cancelled(1))
    standing = (await risk.ask("GET", "/accounts/a-1", role="risk_analyst")).json()
    assert (standing["cancelled"], standing["cancels"]) == (3, {"cancelled_by_customer": 2, "not_reachable": 1})
    assert datetime.fromisoformat(standing["last_cancelled_at"]) == at + timedelta(minutes=3)
    assert not any(commit.parked for commit in risk.commits)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "/switch", {"on": "maybe"}, 422, "invalid_request"),
        ("PUT", "/switch", {}, 422, "invalid_request"),
        ("PUT", "/blocklist/phone/1", {"reason": "x"}, 422, "invalid_request"),
        ("PUT", "/blocklist/account/a-1", {}, 422, "invalid_request"),
        ("PUT", "/blocklist/account/a-1", {"reason": "x", "treatment": "hug"}, 422, "invalid_request"),
        ("PUT", "/blocklist/account/a-1", {"reason": "x", "until": "2026-11-22T12:00:00"}, 422, "invalid_request"),
        ("PUT", "/blocklist/address/%20%20", {"reason": "x"}, 422, "invalid_request"),
        ("PUT", "/blocklist/device/a%00b", {"reason": "x"}, 422, "invalid_request"),
        ("PUT", "/blocklist/device/" + "d" * 501, {"reason": "x"}, 422, "invalid_request"),
        ("POST", "/reviews/o-1", {"verdict": "refer"}, 422, "invalid_request"),
        ("GET", "/blocklist?cursor=nonsense", None, 422, "bad_cursor"),
    ],
)
async def test_nonsense_is_refused(risk: Inside, method: str, path: str, body: Any, status: int, code: str) -> None:
    """A clear problem for every wrong shape."""
    answer = await risk.ask(method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("role", ["customer_service", "storekeeper", "picker", "courier"])
async def test_only_analysts_may(risk: Inside, role: str) -> None:
    """Everything here is the analysts' and the admin's."""
    paths = ["/switch", "/blocklist", "/reviews", "/reviews/o-1", "/accounts/a-1"]
    assert {(await risk.ask("GET", path, role=role)).status_code for path in paths} == {403}
    assert (await risk.ask("PUT", "/switch", {"on": False}, role=role)).status_code == 403
