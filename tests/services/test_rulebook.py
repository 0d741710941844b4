"""The rules over HTTP: what analysts write counts for the next order, nothing of it is lost, and all of it can be put
back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from services.risk.api import routes
from services.risk.decider import DECIDER
from services.risk.rulebook import MEANINGS
from services.risk.rules import DELIVERED, SIGNALS
from services.risk.store import RiskStore
from shared.contracts import risk
from tests.parts import RealParts
from tests.services.inside import Inside, inside
from tests.services.signals import tell, verdict

pytestmark = pytest.mark.parts

EXPIRIES = {"signal": "expiries", "threshold": 2, "window_s": 3_600, "weight": 40}


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """A risk service with an empty database."""
    async with inside(DECIDER, RiskStore(), routes, parts.fresh_database) as service:
        yield service


async def rules(service: Inside) -> dict[str, Any]:
    """GET /rules."""
    answer = await service.ask("GET", "/rules", role="risk_analyst")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def put(service: Inside, rule: str, who: str = "kim", **body: Any) -> dict[str, Any]:
    """Writes a rule that asks for expiries unless it says otherwise."""
    answer = await service.ask("PUT", f"/rules/{rule}", {**EXPIRIES, **body}, role="risk_analyst", name=who)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def history(service: Inside, limit: int = 200) -> list[dict[str, Any]]:
    """GET /rules/history, all pages of it."""
    items, cursor = [], None
    while True:
        params = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = (await service.ask("GET", "/rules/history", params=params)).json()
        items += page["items"]
        if (cursor := page["next"]) is None:
            return items


async def test_delivered_rules_are_version_0(service: Inside) -> None:
    """Nobody changed anything: the rules are those of the file, by nobody."""
    now = await rules(service)
    assert [rule["name"] for rule in now["items"]] == sorted(DELIVERED.rules)
    assert (now["version"], now["changed_at"], now["changed_by"], now["next"]) == (0, None, "larder", None)
    assert now["levels"] == {"restrict": 30, "refer": 100, "refuse": 200}
    assert [(entry["version"], entry["change"]) for entry in await history(service)] == [(0, "delivered")]


async def test_every_signal_has_a_meaning(service: Inside) -> None:
    """What a rule may ask for is told, with a sentence."""
    told = (await service.ask("GET", "/signals")).json()["items"]
    assert [signal["name"] for signal in told] == list(MEANINGS)
    assert sorted(MEANINGS) == sorted(SIGNALS)
    assert all(signal["meaning"].endswith(".") for signal in told)


async def test_rule_counts_for_the_next_order(service: Inside) -> None:
    """A PUT that was answered is seen by the next order, and so is a DELETE."""
    await tell(service, {"expiries": 2})
    assert await verdict(service, "o-1") == "OrderCleared"
    assert await put(service, "expiries", reason="a bad week") == {
        "name": "expiries",
        **EXPIRIES,
        "treatment": None,
        "enabled": True,
    }
    assert await verdict(service, "o-2") == "OrderRestricted"
    await put(service, "expiries", treatment="refuse")
    assert await verdict(service, "o-3") == "OrderRefused"
    await put(service, "expiries", treatment="refuse", enabled=False)
    assert await verdict(service, "o-4") == "OrderCleared"
    await put(service, "expiries", weight=150)
    assert await verdict(service, "o-5") == "OrderReferred"
    assert (await service.ask("DELETE", "/rules/expiries?reason=enough")).status_code == 204
    assert await verdict(service, "o-6") == "OrderCleared"
    gone = await service.ask("DELETE", "/rules/expiries")
    assert (gone.status_code, gone.json()["code"]) == (404, "rule_unknown")
    assert (await rules(service))["version"] == 5  # the delete that was refused wrote nothing


async def test_levels_count_for_the_next_order(service: Inside) -> None:
    """Null is a level that no sum reaches."""
    await tell(service, {"expiries": 2})
    await put(service, "expiries")
    levels = await service.ask("PUT", "/levels", {"restrict": None, "refer": 30.5, "refuse": None, "reason": "why"})
    assert levels.status_code == 200, levels.text
    assert await verdict(service, "o-1") == "OrderReferred"
    told = (await service.ask("GET", "/levels")).json()
    assert told == levels.json()
    assert (told["restrict"], told["refer"], told["refuse"], told["version"]) == (None, 30.5, None, 2)
    assert (await service.ask("PUT", "/levels", told)).status_code == 200
    assert [(entry["change"], entry["reason"]) for entry in (await history(service))[:2]] == [
        ("levels", ""),
        ("levels", "why"),
    ]


async def test_what_get_gives_can_be_put_back(service: Inside) -> None:
    """A rule as the list has it, at its own address alone."""
    before = (await rules(service))["items"]
    for rule in before:
        answer = await service.ask("PUT", f"/rules/{rule['name']}", rule)
        assert (answer.status_code, answer.json()) == (200, rule)
    assert (await rules(service))["items"] == before
    elsewhere = await service.ask("PUT", "/rules/other", before[0])
    assert (elsewhere.status_code, elsewhere.json()["errors"][0]["path"]) == (422, "name")


async def test_history_tells_who_changed_what_and_why(service: Inside) -> None:
    """The newest first, each version whole; pages of any size hold each once."""
    started = datetime.now(UTC)
    await put(service, "expiries", "kim", reason="too many")
    await put(service, "expiries", "lee", threshold=3)
    await service.ask("DELETE", "/rules/expiries", params={"reason": "no use"}, role="risk_analyst", name="kim")
    told = await history(service)
    assert [(e["version"], e["change"], e["name"], e["reason"], e["changed_by"]) for e in told] == [
        (3, "delete", "expiries", "no use", "risk_analyst:kim"),
        (2, "put", "expiries", "", "risk_analyst:lee"),
        (1, "put", "expiries", "too many", "risk_analyst:kim"),
        (0, "delivered", "", "", "larder"),
    ]
    thresholds = [[rule["threshold"] for rule in entry["rules"] if rule["name"] == "expiries"] for entry in told]
    assert thresholds == [[], [3], [2], []]
    assert all(datetime.fromisoformat(entry["changed_at"]) >= started for entry in told[:-1])
    for limit in (1, 2, 3, 4):
        assert await history(service, limit) == told


async def test_version_is_put_back_whole(service: Inside) -> None:
    """Rules and levels of that version, as a new one; also what was delivered."""
    await put(service, "expiries")
    await service.ask("PUT", "/levels", {"restrict": 1, "refer": 2, "refuse": 3})
    await service.ask("DELETE", "/rules/order_velocity")
    put_back = await service.ask(
        "POST", "/rules/history/1/restore", {"reason": "was better"}, role="risk_analyst", name="kim"
    )
    assert put_back.status_code == 200, put_back.text
    assert put_back.json() == await rules(service)
    told = await history(service)
    assert [(e["version"], e["change"], e["name"], e["reason"]) for e in told[:1]] == [
        (4, "restore", "1", "was better")
    ]
    assert (told[0]["rules"], told[0]["levels"]) == (told[3]["rules"], told[3]["levels"])
    assert (await service.ask("POST", "/rules/history/0/restore", {})).json()["version"] == 5
    told = await history(service)
    assert (told[0]["rules"], told[0]["levels"]) == (told[-1]["rules"], told[-1]["levels"])
    unknown = await service.ask("POST", "/rules/history/6/restore", {})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "version_unknown")


async def test_of_two_who_write_at_once_both_count(service: Inside) -> None:
    """Each change builds on the one before it: no rule is lost, and no version is there twice."""
    names = [f"rule-{number}" for number in range(20)]
    await asyncio.gather(*(put(service, name, f"analyst-{number % 2}") for number, name in enumerate(names)))
    assert {rule["name"] for rule in (await rules(service))["items"]} == {*names, *DELIVERED.rules}
    told = await history(service)
    assert [entry["version"] for entry in told] == list(reversed(range(21)))
    assert sorted(entry["name"] for entry in told[:-1]) == sorted(names)


async def test_one_rule_too_many(service: Inside) -> None:
    """As many as a verdict can name, and no more."""
    for number in range(risk.RULES_MAX - len(DELIVERED.rules)):
        await put(service, f"rule-{number}")
    answer = await service.ask("PUT", "/rules/one-more", EXPIRIES)
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_rules")
    await put(service, "rule-0", threshold=5)  # written anew, it is none more
    assert len((await rules(service))["items"]) == risk.RULES_MAX


WRONG = [
    ({"threshold": "2"}, "invalid_request"),
    ({"threshold": True}, "invalid_request"),
    ({"threshold": None}, "invalid_request"),
    ({"threshold": [2]}, "invalid_request"),
    ({"threshold": 1e300}, "invalid_request"),
    ({"threshold": 0}, "threshold_out_of_range"),
    ({"threshold": -1}, "threshold_out_of_range"),
    ({"threshold": 65}, "threshold_out_of_range"),
    ({"window_s": 0}, "window_out_of_range"),
    ({"window_s": -3_600}, "window_out_of_range"),
    ({"window_s": 90 * 86_400 + 1}, "window_out_of_range"),
    ({"window_s": "1h"}, "invalid_request"),
    ({"weight": 1_001}, "weight_out_of_range"),
    ({"weight": False}, "invalid_request"),
    ({"weight": 0}, "treatment_missing"),
    ({"signal": "karma"}, "signal_unknown"),
    ({"signal": "\U0001f600" * 500}, "signal_unknown"),
    ({"signal": ""}, "invalid_request"),
    ({"signal": 3}, "invalid_request"),
    ({"treatment": "clear"}, "invalid_request"),
    ({"enabled": 1}, "invalid_request"),
    ({"reason": "x" * 501}, "invalid_request"),
    ({"colour": "red"}, "invalid_request"),
]


@pytest.mark.parametrize(("wrong", "code"), WRONG)
async def test_rule_that_makes_no_sense_is_refused(service: Inside, wrong: dict[str, Any], code: str) -> None:
    """With a stable code, and nothing is written."""
    answer = await service.ask("PUT", "/rules/expiries", EXPIRIES | wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert (await rules(service))["version"] == 0


@pytest.mark.parametrize("name", ["\U0001f600", "a b", " ", "x" * 65, "-a", "a\n"])
async def test_name_that_is_none_is_refused(service: Inside, name: str) -> None:
    """A rule's name goes with every verdict, so it is a Name."""
    answer = await service.ask("PUT", f"/rules/{quote(name)}", EXPIRIES)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "/levels", {"restrict": 100, "refer": 30, "refuse": 200}, 422, "levels_out_of_order"),
        ("PUT", "/levels", {"restrict": 30, "refer": 30, "refuse": 200}, 422, "levels_out_of_order"),
        ("PUT", "/levels", {"restrict": 0, "refer": None, "refuse": None}, 422, "levels_out_of_order"),
        ("PUT", "/levels", {"restrict": 30, "refer": 100}, 422, "invalid_request"),
        ("PUT", "/levels", {"restrict": "30", "refer": 100, "refuse": 200}, 422, "invalid_request"),
        ("PUT", "/rules/expiries", {}, 422, "invalid_request"),
        ("PUT", "/rules/expiries", [], 422, "invalid_request"),
        ("DELETE", "/rules/order_velocity?reason=" + "x" * 501, None, 422, "invalid_request"),
        ("POST", "/rules/history/-1/restore", {}, 422, "invalid_request"),
        ("POST", "/rules/history/first/restore", {}, 422, "invalid_request"),
        ("POST", "/rules/history/99999999999999999999/restore", {}, 422, "invalid_request"),
        ("GET", "/rules/history?cursor=nonsense", None, 422, "bad_cursor"),
        ("GET", "/rules/history?limit=201", None, 422, "invalid_request"),
    ],
)
async def test_nonsense_is_refused(service: Inside, method: str, path: str, body: Any, status: int, code: str) -> None:
    """A clear problem for every wrong shape, and nothing is written."""
    answer = await service.ask(method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert (await rules(service))["version"] == 0


@pytest.mark.parametrize("role", ["customer", "customer_service", "storekeeper", "picker", "courier"])
async def test_only_analysts_may(service: Inside, role: str) -> None:
    """Nobody else sees a rule, or that there are any."""
    account = {"account": "a-1"} if role == "customer" else {}
    for path in ("/rules", "/rules/history", "/levels", "/signals"):
        assert (await service.ask("GET", path, role=role, **account)).status_code == 403
    for method, path, body in (
        ("PUT", "/rules/expiries", EXPIRIES),
        ("DELETE", "/rules/order_velocity", None),
        ("PUT", "/levels", {"restrict": 1, "refer": 2, "refuse": 3}),
        ("POST", "/rules/history/0/restore", {}),
    ):
        assert (await service.ask(method, path, body, role=role, **account)).status_code == 403
    assert (await rules(service))["version"] == 0
