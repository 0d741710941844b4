"""The risk service: what analysts do over HTTP, and what it does to the next order."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from larder.stack.migrate import migrate_database
from services.risk.api import routes
from services.risk.decider import DECIDER, suspects
from services.risk.state import Blocked, Kind
from services.risk.store import RiskStore
from shared.contracts import risk
from shared.contracts.texts import normal_form, shows_something
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """A risk service with an empty database."""
    async with inside(DECIDER, RiskStore(), routes, parts.fresh_database) as service:
        yield service


def order(number: int = 1, **more: Any) -> risk.ScreenOrder:
    """An order to be screened."""
    return risk.ScreenOrder(order_id=f"o-{number}", account=more.pop("account", "a-1"), total=649, **more)


def encoded(value: str) -> str:
    """A value as a part of an address. Clients take dots for steps through it."""
    return quote(value, safe="").replace(".", "%2E")


async def put(service: Inside, kind: str, value: str, **body: Any) -> dict[str, Any]:
    """Puts somebody on the blocklist."""
    answer = await service.ask("PUT", f"/blocklist/{kind}/{encoded(value)}", {"reason": "chargebacks", **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def referred(service: Inside, number: int = 1, **more: Any) -> None:
    """An order that waits for a person."""
    await put(service, "account", "a-1", treatment="refer")
    assert await service.hear(order(number, **more)) == ["OrderReferred"]


async def test_entry_counts_for_the_next_order(service: Inside) -> None:
    """A PUT that was answered is seen by the next order, a DELETE as well; no entry is ever cached."""
    assert await service.hear(order(1)) == ["OrderCleared"]
    entry = await put(service, "account", "a-1")
    assert (entry["treatment"], entry["until"], entry["changed_by"]) == ("refuse", None, "admin:")
    assert await service.hear(order(2)) == ["OrderRefused"]
    await put(service, "account", "a-1", treatment="restrict")
    assert await service.hear(order(3)) == ["OrderRestricted"]
    assert (await service.ask("DELETE", "/blocklist/account/a-1")).status_code == 204
    assert await service.hear(order(4)) == ["OrderCleared"]
    gone = await service.ask("DELETE", "/blocklist/account/a-1")
    assert (gone.status_code, gone.json()["code"]) == (404, "entry_unknown")


async def test_address_with_slashes_matches_however_it_is_written(service: Inside) -> None:
    """Slashes and spaces belong to addresses; case and spacing do not count, in PUT, order and DELETE."""
    entry = await put(service, "address", "12/3 Mill Lane, c/o Smith")
    assert entry["value"] == "12/3 mill lane, c/o smith"
    assert await service.hear(order(1, address="  12/3  MILL lane, C/O Smith")) == ["OrderRefused"]
    assert (await service.ask("DELETE", "/blocklist/address/12%2F3%20MILL%20LANE,%20c/o%20smith")).status_code == 204
    assert await service.hear(order(2, address="12/3 Mill Lane, c/o Smith")) == ["OrderCleared"]


ODD = "\u200b\u00ad\u202e\ufe0f\u3164e\u0301é\uff11ﬁßẞSsAa /.%?#+=\\|\"'\n\r\t\u2028\u00a0\x07"
values = st.text(st.sampled_from(ODD), min_size=1, max_size=20) | st.text(
    st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=100
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(kind=st.sampled_from(Kind), value=values, other=st.sampled_from(("NFC", "NFD", "NFKC", "NFKD")))
@example(kind=Kind.ADDRESS, value="12 Mill Lane\nBackhouse\r\n", other="NFC")
@example(kind=Kind.ACCOUNT, value="auth0|a/b+c==?x#y%2F%", other="NFC")
@example(kind=Kind.ADDRESS, value="Cafe\u0301 ß", other="NFC")
@example(kind=Kind.DEVICE, value="../.", other="NFC")
async def test_any_text_goes_on_the_list_matches_and_goes_off_it(
    service: Inside, kind: Kind, value: str, other: Literal["NFC", "NFD", "NFKC", "NFKD"]
) -> None:
    """Whatever it is: listed in its normal form, found by the look-up of every text with that form, PUT back as it is
    listed, and taken off under any of its spellings. What shows nothing is refused."""
    path = f"/blocklist/{kind}/{encoded(value)}"
    answer = await service.ask("PUT", path, {"reason": "x"})
    if not shows_something(value):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
        return
    assert answer.status_code == 200, answer.text
    (listed,) = (await service.ask("GET", "/blocklist")).json()["items"]
    assert (listed["kind"], listed["value"]) == (kind, normal_form(value))
    spelt = unicodedata.normalize(other, value)[:500]
    for written in (value, spelt, f" {value}\u200b"):
        screened = risk.ScreenOrder.model_construct(order_id="o", total=1, account="", device=None, address=None)
        screened = screened.model_copy(update={kind.value: written})
        ((_, key),) = suspects(screened)
        assert isinstance((await service.load([key]))[key], Blocked), ascii(written)
    again = await service.ask("PUT", f"/blocklist/{kind}/{encoded(listed['value'])}", listed)
    assert (again.status_code, again.json() | {"changed_at": ""}) == (200, listed | {"changed_at": ""}), again.text
    gone = await service.ask("DELETE", f"/blocklist/{kind}/{encoded(spelt)}")
    assert gone.status_code == 204, gone.text
    assert (await service.ask("GET", "/blocklist")).json()["items"] == []


async def test_what_get_gives_can_be_put_back(service: Inside) -> None:
    """Entry and switch, as they are; an entry at the address of another is refused."""
    entry = await put(service, "address", "Caf\u00e9 12", treatment="refer")
    assert (await service.ask("PUT", "/blocklist/address/CAFE%CC%81%2012", entry)).status_code == 200
    for wrong, member in (("/blocklist/address/cafe%2012", "value"), ("/blocklist/device/caf%C3%A9%2012", "kind")):
        answer = await service.ask("PUT", wrong, entry)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert answer.json()["errors"][0]["path"] == member
    switch = (await service.ask("GET", "/switch")).json()
    assert (await service.ask("PUT", "/switch", switch)).status_code == 200


ACCOUNTS = ("auth0|123", "a/b+c==", "a b", "a?b", "a#b", "100%", "%2F", "Zoë", "食", "..", "a/../b", "//", "a\\b")


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_every_account_can_be_looked_at(service: Inside, account: str) -> None:
    """What may order has a standing with its entry, under whatever spelling that was written."""
    await put(service, "account", account.upper())
    assert await service.hear(order(1, account=account)) == ["OrderRefused"]
    answer = await service.ask("GET", f"/accounts/{encoded(account)}")
    assert (answer.status_code, answer.json()["account"]) == (200, account), answer.text
    assert (answer.json()["screenings"], len(answer.json()["blocklist"])) == ({"refused": 1}, 1)


async def test_entries_of_earlier_versions_are_found(parts: RealParts) -> None:
    """The migration writes values in their normal form; of several that are one now, the strongest that counts stays.
    What it misses is taken off as it is listed."""
    dsn = await parts.fresh_database()
    await migrate_database(dsn, "risk", lambda line: None)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("delete from schema_version where file like '%0002_normal_forms.sql'")
        old = [
            ("address", "cafe\u0301\u200b\u2028\uff11", "restrict", None),
            ("address", "café 1", "refuse", None),
            ("address", "caf\u00e9 \u00ad1", "refer", None),
            ("account", "A-1", "refuse", datetime(2020, 1, 1, tzinfo=UTC)),
            ("account", "a-1", "restrict", None),
            ("device", "\u00a0\ufb01\ufe0f  D\t1\n", "refer", None),
            ("device", "\u200b", "refer", None),
        ]
        await connection.executemany(
            "insert into blocklist values ($1, $2, $3, 'x', $4, now(), 'me')",
            old,
        )
        await migrate_database(dsn, "risk", lambda line: None)
        rows = await connection.fetch("select kind, value, treatment from blocklist order by kind")
    finally:
        await connection.close()
    assert [tuple(row) for row in rows] == [
        ("account", "a-1", "restrict"),
        ("address", "café 1", "refuse"),
        ("device", "fi d 1", "refer"),
    ]
    assert {row["value"] for row in rows} == {normal_form(value) for _, value, _, _ in old} - {""}


async def test_entry_that_stands_in_no_normal_form_can_be_taken_off(service: Inside) -> None:
    """Whoever wrote the row: it is listed, so it can be addressed."""
    await service.pool.execute("insert into blocklist values ('address', 'Straße', 'refuse', 'x', null, now(), 'hand')")
    assert (await service.ask("DELETE", f"/blocklist/address/{quote('Straße')}")).status_code == 204
    assert (await service.ask("GET", "/blocklist")).json()["items"] == []


async def test_entry_counts_until_its_end(service: Inside) -> None:
    """An entry with an end in the past says nothing any more."""
    now = datetime.now(UTC)
    await put(service, "device", "d-1", until=(now + timedelta(hours=1)).isoformat())
    assert await service.hear(order(1, device="d-1")) == ["OrderRefused"]
    await put(service, "device", "d-1", until=(now - timedelta(hours=1)).isoformat())
    assert await service.hear(order(2, device="d-1")) == ["OrderCleared"]


async def test_blocklist_in_pages(service: Inside) -> None:
    """All entries, each once, whatever the size of the page; or those of one kind."""
    for number in range(5):
        await put(service, "account", f"a-{number}")
    await put(service, "device", "d-1")
    seen: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await service.ask("GET", "/blocklist", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [(entry["kind"], entry["value"]) for entry in page["items"]]
        cursor = page["next"]
    assert seen == [*(("account", f"a-{number}") for number in range(5)), ("device", "d-1")]
    devices = (await service.ask("GET", "/blocklist?kind=device")).json()["items"]
    assert [entry["value"] for entry in devices] == ["d-1"]


async def test_switched_off_restricts_everybody(service: Inside) -> None:
    """Off: the next order is restricted. On again: it is screened."""
    assert (await service.ask("GET", "/switch")).json()["on"] is True
    assert (await service.ask("PUT", "/switch", {"on": False})).json()["on"] is False
    assert await service.hear(order(1)) == ["OrderRestricted"]
    assert (await service.ask("PUT", "/switch", {"on": True})).json()["on"] is True
    assert await service.hear(order(2)) == ["OrderCleared"]


@pytest.mark.parametrize(
    ("verdict", "said"), [("clear", "OrderCleared"), ("restrict", "OrderRestricted"), ("refuse", "OrderRefused")]
)
async def test_review_decided_by_a_person(service: Inside, verdict: str, said: str) -> None:
    """It is on the list with what there is to see, then decided, then off the list."""
    await referred(service, device="d-1", address="12 Mill Lane")
    (review,) = (await service.ask("GET", "/reviews", role="risk_analyst")).json()["items"]
    assert (review["order_id"], review["account"], review["total"]) == ("o-1", "a-1", 649)
    assert (review["device"], review["address"], review["verdict"]) == ("d-1", "12 Mill Lane", None)
    answer = await service.ask(
        "POST", "/reviews/o-1", {"verdict": verdict, "note": "n"}, role="risk_analyst", name="kim"
    )
    assert (answer.status_code, answer.headers["Location"]) == (202, "/reviews/o-1")
    assert (answer.json()["verdict"], answer.json()["note"], answer.json()["decided_by"]) == (
        verdict,
        "n",
        "risk_analyst:kim",
    )
    assert (await service.ask("GET", "/reviews")).json()["items"] == []
    assert said in str(service.commits[-1].outbox)


async def test_same_key_same_answer(service: Inside) -> None:
    """A verdict sent twice under one key is one verdict; without it, the second is told that it came too late."""
    await referred(service)
    key = {"Idempotency-Key": "k-1"}
    for _ in range(2):
        answer = await service.ask("POST", "/reviews/o-1", {"verdict": "clear", "note": ""}, headers=key)
        assert answer.status_code == 202
    late = await service.ask("POST", "/reviews/o-1", {"verdict": "refuse", "note": ""})
    assert (late.status_code, late.json()["code"]) == (409, "review_not_open")
    unknown = await service.ask("POST", "/reviews/o-9", {"verdict": "refuse", "note": ""})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "review_unknown")


async def test_review_that_nobody_decides_is_restricted(service: Inside) -> None:
    """At the deadline, also after a restart."""
    await referred(service)
    assert await service.time_passes(899) == []
    await service.forget()
    assert await service.time_passes(901) == ["OrderRestricted"]
    assert (await service.ask("GET", "/reviews")).json()["items"] == []


async def test_withdrawn_review_is_off_the_list(service: Inside) -> None:
    """The order ended: nobody needs to look, and the deadline says nothing."""
    await referred(service)
    await service.forget()
    assert await service.hear(risk.WithdrawScreening(order_id="o-1", account="a-1")) == []
    assert (await service.ask("GET", "/reviews")).json()["items"] == []
    assert await service.time_passes(901) == []


async def test_standing_of_an_account(service: Inside) -> None:
    """What its orders came to, and why it is on the list; nothing for somebody nobody knows."""
    await service.hear(order(1))
    await service.hear(order(2))
    await put(service, "account", "a-1", treatment="restrict")
    await service.hear(order(3))
    standing = (await service.ask("GET", "/accounts/a-1")).json()
    assert standing["screenings"] == {"cleared": 2, "restricted": 1}
    assert [entry["reason"] for entry in standing["blocklist"]] == ["chargebacks"]
    nobody = (await service.ask("GET", "/accounts/a-2")).json()
    assert not any(nobody[name] for name in ("orders", "endings", "devices", "addresses", "signals"))
    assert {name: nobody[name] for name in ("account", "screenings", "cancelled", "cancels", "blocklist")} == {
        "account": "a-2",
        "screenings": {},
        "cancelled": 0,
        "cancels": {},
        "blocklist": [],
    }


async def test_a_review_is_one_person_s_as_long_as_he_claims_it(service: Inside) -> None:
    """Claimed, it is nobody else's to claim or decide; let go, anybody's; decided, nobody's."""
    await referred(service)
    kim, lee = {"role": "risk_analyst", "name": "kim"}, {"role": "risk_analyst", "name": "lee"}
    nobodys = await service.ask("POST", "/reviews/o-1/release", **kim)
    assert (nobodys.status_code, nobodys.json()["code"]) == (409, "review_not_claimed")
    claimed = await service.ask("POST", "/reviews/o-1/claim", **kim)
    assert (claimed.status_code, claimed.json()["claimed_by"]) == (202, "risk_analyst:kim")
    for path, body in (("/claim", None), ("/release", None), ("", {"verdict": "refuse"})):
        other = await service.ask("POST", f"/reviews/o-1{path}", body, **lee)
        assert (other.status_code, other.json()["code"]) == (409, "review_claimed")
        assert "kim" in other.json()["detail"]
    released = await service.ask("POST", "/reviews/o-1/release", **kim)
    assert (released.status_code, released.json()["claimed_by"]) == (202, None)
    assert (await service.ask("POST", "/reviews/o-1", {"verdict": "clear"}, **lee)).json()["decided_by"].endswith("lee")
    for path, body in (("/claim", None), ("/release", None), ("", {"verdict": "refuse"})):
        late = await service.ask("POST", f"/reviews/o-1{path}", body, **kim)
        assert (late.status_code, late.json()["code"]) == (409, "review_not_open")


async def test_a_review_puts_what_it_is_about_on_the_blocklist(service: Inside) -> None:
    """In one step, with the analyst as its author; it counts for the next order. What the order does not name is not
    on the list."""
    await referred(service, device="D-1")
    block = {"kinds": ["device", "address"], "treatment": "refuse", "until": "2199-01-01T00:00:00Z"}
    body = {"verdict": "refuse", "note": "the third phone", "block": block}
    answer = await service.ask("POST", "/reviews/o-1", body, role="risk_analyst", name="kim")
    assert answer.status_code == 202, answer.text
    (entry,) = (await service.ask("GET", "/blocklist?kind=device")).json()["items"]
    assert (entry["value"], entry["reason"], entry["changed_by"]) == ("d-1", "the third phone", "risk_analyst:kim")
    assert entry["until"] is not None
    assert (await service.ask("GET", "/blocklist?kind=address")).json()["items"] == []
    assert await service.hear(order(2, account="a-2", device="d-1")) == ["OrderRefused"]


async def test_signals_make_rules_speak_about_the_next_order(service: Inside) -> None:
    """What was told of the account last counts, also after a restart; the review says which rules spoke."""
    now = datetime.now(UTC)
    numbers = tuple((int(now.timestamp() * 1000) - 1000 + n << 20) + n for n in range(20))
    counts = (risk.Count(signal="declines", happenings=numbers), risk.Count(signal="expiries", happenings=numbers))
    conduct = risk.Conduct(about="account", subject="a-1", at=now, counts=counts)
    assert await service.hear(risk.SignalsTold(shard=0, as_of=now, entries=(conduct,))) == []
    await service.forget()
    assert await service.hear(order(1)) == ["OrderReferred"]
    assert await service.hear(order(2, account="a-2")) == ["OrderCleared"]
    (review,) = (await service.ask("GET", "/reviews")).json()["items"]
    assert {rule["name"]: rule["value"] for rule in review["rules"]} == {"declined_cards": 20, "unpaid_orders": 20}
    assert review["reason"] == "rules_referred"


async def test_customers_cancels_are_counted(service: Inside) -> None:
    """By reason, each order once, also when it is told again after a restart; other accounts' are not in there."""
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def cancelled(number: int, deed: risk.Deed = "cancelled", account: str = "a-1") -> risk.AccountsActed:
        moment = at + timedelta(minutes=number)
        entry = risk.Activity(account=account, order_id=f"o-{number}", deed=deed, at=moment)
        return risk.AccountsActed(shard=0, entries=(entry,))

    some = (cancelled(1), cancelled(2, "cancelled_after_payment"), cancelled(3, "unreachable"))
    for activity in (*some, cancelled(4, account="a-2"), cancelled(5, "ended"), cancelled(6, "delivered")):
        assert await service.hear(activity) == []
    await service.forget()
    await service.hear(cancelled(1))
    standing = (await service.ask("GET", "/accounts/a-1", role="risk_analyst")).json()
    assert (standing["cancelled"], standing["cancels"]) == (3, {"cancelled_by_customer": 2, "not_reachable": 1})
    assert datetime.fromisoformat(standing["last_cancelled_at"]) == at + timedelta(minutes=3)
    assert not any(commit.parked for commit in service.commits)


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
        ("PUT", "/blocklist/device/" + quote("\ufdfa" * 100), {"reason": "x"}, 422, "invalid_request"),
        ("PUT", "/blocklist/device/%E2%80%8B", {"reason": "x"}, 422, "invalid_request"),
        ("PUT", "/blocklist/device/", {"reason": "x"}, 422, "invalid_request"),
        ("PUT", "/blocklist/device/a", {"reason": " \u200b"}, 422, "invalid_request"),
        ("GET", "/accounts/a%0Ab", None, 422, "invalid_request"),
        ("GET", "/accounts/%E3%85%A4", None, 422, "invalid_request"),
        ("POST", "/reviews/o-1", {"verdict": "refer"}, 422, "invalid_request"),
        ("POST", "/reviews/o-1", {"verdict": "refuse", "block": {"kinds": []}}, 422, "invalid_request"),
        ("POST", "/reviews/o-1", {"verdict": "refuse", "block": {"kinds": ["phone"]}}, 422, "invalid_request"),
        ("POST", "/reviews/o-1/claim", {"verdict": "refuse"}, 422, "invalid_request"),
        ("POST", "/reviews/o-9/claim", None, 404, "review_unknown"),
        ("GET", "/blocklist?cursor=nonsense", None, 422, "bad_cursor"),
    ],
)
async def test_nonsense_is_refused(service: Inside, method: str, path: str, body: Any, status: int, code: str) -> None:
    """A clear problem for every wrong shape."""
    answer = await service.ask(method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("role", ["customer_service", "storekeeper", "picker", "courier"])
async def test_only_analysts_may(service: Inside, role: str) -> None:
    """Everything here is the analysts' and the admin's."""
    paths = ["/switch", "/blocklist", "/reviews", "/reviews/o-1", "/accounts/a-1"]
    assert {(await service.ask("GET", path, role=role)).status_code for path in paths} == {403}
    assert (await service.ask("PUT", "/switch", {"on": False}, role=role)).status_code == 403
