"""Screenings and accounts, as analysts look at them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.risk.api import routes
from services.risk.decider import DECIDER
from services.risk.screenings import LATEST
from services.risk.store import _NO_FACTS, RiskStore
from shared.contracts import risk
from tests.parts import RealParts
from tests.services.inside import Inside, inside
from tests.services.signals import ended, tell, verdict

pytestmark = pytest.mark.parts


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """A risk service with an empty database."""
    async with inside(DECIDER, RiskStore(), routes, parts.fresh_database) as service:
        yield service


async def get(service: Inside, path: str) -> dict[str, Any]:
    """What an analyst gets to see."""
    answer = await service.ask("GET", path, role="risk_analyst")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_screening_tells_what_it_saw(service: Inside) -> None:
    """Verdict, reason, the rules that spoke, their version, and the facts; devices and addresses are pseudonyms."""
    earlier = risk.Earlier(order_id="o-0", at=datetime(2026, 11, 1, tzinfo=UTC), total=500, delivered=True)
    newest = await tell(service, {"expiries": 5, "deliveries": 2}, earlier=[earlier])
    assert await verdict(service, "o-1", device="d-1", address="12 Mill Lane") == "OrderRestricted"
    seen = await get(service, "/screenings/o-1")
    assert (seen["account"], seen["phase"], seen["verdict"], seen["reason"]) == (
        "a-1",
        "restricted",
        "restrict",
        "rules_restricted",
    )
    ((name, points),) = [(rule["name"], rule["points"]) for rule in seen["rules"]]
    assert (name, seen["rules"][0]["value"], seen["rules"][0]["threshold"]) == ("unpaid_orders", 5, 5)
    assert (seen["score"], seen["rules_version"], seen["review"], seen["ending"]) == (points, 0, None, None)
    facts = seen["facts"]
    assert facts["total"] == 649
    assert {signal: len(moments) for signal, moments in facts["counts"].items()} == {"expiries": 5, "deliveries": 2}
    assert datetime.fromisoformat(facts["counts"]["expiries"][-1]) == newest
    assert facts["earlier"] == [earlier.model_dump(mode="json")]
    assert len(facts["device"]) == len(facts["address"]) == 24
    assert "d-1" not in str(seen)
    assert "Mill" not in str(seen)


async def test_screening_tells_what_came_of_it(service: Inside) -> None:
    """The first verdict stays beside what a person decided; then what became of the order."""
    await tell(service, {"expiries": 5, "cancels": 8})
    assert await verdict(service, "o-1") == "OrderReferred"
    await service.ask("POST", "/reviews/o-1", {"verdict": "clear", "note": "a nurse"}, role="risk_analyst", name="kim")
    at = await ended(service, "o-1", "delivered")
    seen = await get(service, "/screenings/o-1")
    assert (seen["verdict"], seen["reason"], seen["phase"]) == ("refer", "rules_referred", "cleared")
    assert (seen["review"]["verdict"], seen["review"]["note"]) == ("clear", "a nurse")
    assert (seen["ending"]["deed"], datetime.fromisoformat(seen["ending"]["at"])) == ("delivered", at)


async def test_purged_screening_keeps_its_verdict(service: Inside) -> None:
    """No facts, no rules, no pseudonyms, but the numbers; nothing known is not the same as nothing kept."""
    await tell(service, {"expiries": 5})
    await verdict(service, "o-1", device="d-1")
    await verdict(service, "o-2", account="a-2")
    await service.pool.execute(_NO_FACTS, ["o-1"])
    seen = await get(service, "/screenings/o-1")
    assert (seen["facts"], seen["rules"], seen["verdict"], seen["rules_version"]) == (None, [], "restrict", 0)
    assert (await get(service, "/screenings/o-2"))["facts"] == {
        "total": 649,
        "device": None,
        "address": None,
        "counts": {},
        "earlier": [],
    }


async def test_screening_of_an_earlier_larder(service: Inside) -> None:
    """From before there were rules: neither verdict nor facts."""
    await service.pool.execute("insert into screenings (order_id, account, phase) values ('o-1', 'a-1', 'cleared')")
    seen = await get(service, "/screenings/o-1")
    assert (seen["at"], seen["verdict"], seen["facts"], seen["score"]) == (None, None, None, None)
    (order,) = (await get(service, "/accounts/a-1"))["orders"]
    assert (order["order_id"], order["at"], order["total"], order["verdict"]) == ("o-1", None, None, None)


async def test_unknown_screening(service: Inside) -> None:
    """404 with its own code; a name that is none is refused."""
    for path, status, code in (("o-9", 404, "screening_unknown"), ("%20", 422, "invalid_request")):
        answer = await service.ask("GET", f"/screenings/{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("role", ["customer_service", "storekeeper", "picker", "courier"])
async def test_only_analysts_may(service: Inside, role: str) -> None:
    """Nobody else sees what risk knows."""
    for path in ("/screenings/o-1", "/accounts/a-1"):
        assert (await service.ask("GET", path, role=role)).status_code == 403


async def test_account_in_one_answer(service: Inside) -> None:
    """Orders with what became of them and what people decided, devices and addresses, signals, and the rules now."""
    await verdict(service, "o-1", device="d-1", address="12 Mill Lane")
    await verdict(service, "o-2", device="D-1", address="1 High Street")
    newest = await tell(service, {"expiries": 5, "cancels": 8})
    assert await verdict(service, "o-3", device="d-2", total=900) == "OrderReferred"
    await service.ask("POST", "/reviews/o-3", {"verdict": "restrict"})
    await ended(service, "o-1", "delivered")
    told = await get(service, "/accounts/a-1")
    assert [(o["order_id"], o["total"], o["verdict"], o["reason"], o["label"]) for o in told["orders"]] == [
        ("o-3", 900, "refer", "rules_referred", "restrict"),
        ("o-2", 649, "clear", "", None),
        ("o-1", 649, "clear", "", None),
    ]
    assert [order["rules"] for order in told["orders"]] == [["cancelled_orders", "unpaid_orders"], [], []]
    assert [order["ending"] and order["ending"]["deed"] for order in told["orders"]] == [None, None, "delivered"]
    assert [place["orders"] for place in told["devices"]] == [1, 2]
    assert [place["orders"] for place in told["addresses"]] == [1, 1]
    assert told["devices"][1]["last_seen"] == told["orders"][1]["at"]
    assert told["devices"][1]["pseudonym"] == told["orders"][1]["device"] == told["orders"][2]["device"]
    assert told["endings"] == {"delivered": 1}
    assert {signal: now["count"] for signal, now in told["signals"].items()} == {"cancels": 8, "expiries": 5}
    assert datetime.fromisoformat(told["signals"]["cancels"]["newest"]) == newest
    assert (told["now"]["rules_version"], told["now"]["treatment"]) == (0, "refer")
    assert {rule["name"]: rule["value"] for rule in told["now"]["rules"]} == {"cancelled_orders": 8, "unpaid_orders": 5}
    assert told["now"]["score"] == pytest.approx(sum(rule["points"] for rule in told["now"]["rules"]))
    await service.ask("PUT", "/levels", {"restrict": None, "refer": None, "refuse": 90})
    now = (await get(service, "/accounts/a-1"))["now"]
    assert (now["rules_version"], now["treatment"]) == (1, "refuse")


async def test_account_is_judged_with_the_device_of_its_newest_order(service: Inside) -> None:
    """What is known of the device and the address counts as it would for the next order."""
    await verdict(service, "o-1", device="d-1", address="12 Mill Lane")
    (order,) = (await get(service, "/accounts/a-1"))["orders"]
    await tell(service, {"device_accounts": 5}, order["device"], about="device")
    await tell(service, {"address_accounts": 12}, order["address"], about="address")
    told = await get(service, "/accounts/a-1")
    assert {rule["name"] for rule in told["now"]["rules"]} == {"accounts_on_device", "accounts_at_address"}
    assert {signal: now["count"] for signal, now in told["signals"].items()} == {
        "device_accounts": 5,
        "address_accounts": 12,
    }
    assert await verdict(service, "o-2", device="d-1", address="12 Mill Lane") == "OrderReferred"


async def test_only_the_newest_orders_are_shown(service: Inside) -> None:
    """So many; all are counted."""
    for number in range(LATEST + 1):
        await verdict(service, f"o-{number}", device=f"d-{number}")
    told = await get(service, "/accounts/a-1")
    assert [order["order_id"] for order in told["orders"]] == [f"o-{n}" for n in range(LATEST, 0, -1)]
    assert (len(told["devices"]), told["screenings"]) == (LATEST, {"cleared": LATEST + 1})


async def test_cancels_of_an_account(service: Inside) -> None:
    """Before and after paying are both the customer's; what is no doing of the account's is none."""
    for number, deed in enumerate(("cancelled", "cancelled_after_payment", "expired", "ended", "delivered")):
        await ended(service, f"o-{number}", deed, ago_s=100)
    at = await ended(service, "o-9", "unreachable", ago_s=50)
    await ended(service, "o-8", "expired")
    await ended(service, "o-7", "cancelled", account="a-2")
    told = await get(service, "/accounts/a-1")
    assert (told["cancelled"], told["cancels"]) == (3, {"cancelled_by_customer": 2, "not_reachable": 1})
    assert datetime.fromisoformat(told["last_cancelled_at"]) == at
    assert (told["endings"]["expired"], told["endings"]["ended"]) == (2, 1)


async def test_account_that_nobody_knows(service: Inside) -> None:
    """Nothing, in the same shape."""
    assert await get(service, "/accounts/a-9") == {
        "account": "a-9",
        "screenings": {},
        "cancelled": 0,
        "cancels": {},
        "last_cancelled_at": None,
        "blocklist": [],
        "orders": [],
        "endings": {},
        "devices": [],
        "addresses": [],
        "signals": {},
        "now": {"rules_version": 0, "score": 0, "treatment": None, "rules": []},
    }
