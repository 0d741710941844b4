"""Deciding again: a trial says what other rules would have said, and what it would have cost; it changes nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from larder.commands.risk import lines_of, read_file, replayed
from larder.stack.errors import StackError
from services.risk import rules as rules_module
from services.risk import rules_api
from services.risk.api import routes
from services.risk.decider import DECIDER
from services.risk.rules import DELIVERED, TEXT_MAX_BYTES
from services.risk.store import _NO_FACTS, RiskStore
from services.risk.trial import PORTION, SHOWN_MAX, Place, go_on
from tests.parts import RealParts
from tests.services.inside import Inside, inside
from tests.services.signals import ended, tell, verdict

pytestmark = pytest.mark.parts

FIVE = {"name": "five", "signal": "expiries", "threshold": 5, "window_s": 86_400, "weight": 0, "treatment": "refuse"}
NEVER = {"restrict": None, "refer": None, "refuse": None}
LONG_AGO = {"since": "2026-11-01T00:00:00Z", "until": "2026-11-02T00:00:00Z"}


@pytest.fixture
async def risk(parts: RealParts) -> AsyncIterator[Inside]:
    """A risk service with an empty database."""
    async with inside(DECIDER, RiskStore(), routes, parts.fresh_database) as service:
        yield service


async def trial(risk: Inside, **body: Any) -> dict[str, Any]:
    """What one request of a trial of the last minutes answers."""
    since = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    answer = await risk.ask("POST", "/rules/trial", {"since": since, **body}, role="risk_analyst")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def after(told: dict[str, Any]) -> dict[str, int]:
    """How many of each verdict there would be; verdicts that nobody got are left out."""
    return {verdict: orders for verdict, orders in told["by_verdict"]["after"].items() if orders}


async def block(risk: Inside, account: str, treatment: str) -> None:
    """Puts an account on the blocklist."""
    body = {"reason": "x", "treatment": treatment}
    assert (await risk.ask("PUT", f"/blocklist/account/{account}", body)).status_code == 200


PATIENCE_S = 10.0
"""Until a window of half a second is over."""


async def an_evening(risk: Inside, seed: int, orders: int = 60) -> None:
    """Orders of accounts with all kinds of conduct, some on the blocklist, under rules that change on the way."""
    chance = random.Random(seed)
    accounts = [f"a-{number}" for number in range(8)]
    for account in accounts:
        counts = {signal: chance.randint(1, 12) for signal in chance.sample(("expiries", "cancels", "declines"), 2)}
        await tell(risk, counts, account, ago_s=chance.uniform(0, 86_400))
    for account, treatment in zip(accounts, ("restrict", "refer", "refuse"), strict=False):
        await block(risk, account, treatment)
    for number in range(orders):
        await verdict(
            risk, f"o-{number:03}", chance.choice(accounts), chance.randint(100, 9_000), device=f"d-{number % 5}"
        )
        if chance.random() < 0.5:
            deed = chance.choice(("delivered", "expired", "cancelled", "unreachable", "ended"))
            await ended(risk, f"o-{number:03}", deed)


@pytest.mark.parametrize("seed", range(3))
async def test_rules_that_decided_change_nothing(risk: Inside, seed: int) -> None:
    """Whatever was decided, with or without the blocklist: the same rules come to the same."""
    await an_evening(risk, seed)
    told = await trial(risk)
    assert (told["screenings"], told["changed"], told["orders"], told["endings"]) == (60, 0, [], [])
    assert told["by_verdict"]["before"] == told["by_verdict"]["after"]
    verdicts = Counter(row["verdict"] for row in await risk.pool.fetch("select verdict from screenings"))
    assert len(verdicts) >= 3  # the evening is worth the name
    assert {v: n for v, n in told["by_verdict"]["before"].items() if n} == verdicts
    today = (await risk.ask("GET", "/rules")).json()
    assert (
        await trial(risk, rules=today["items"], levels=today["levels"], until=told["until"], since=told["since"])
        == told
    )


async def test_decided_as_of_then(risk: Inside) -> None:
    """A rule whose window is over by now speaks as it did, with the points that it had."""
    rule = {"signal": "expiries", "threshold": 2, "window_s": 0.5, "weight": 100}
    assert (await risk.ask("PUT", "/rules/short", rule)).status_code == 200
    await tell(risk, {"expiries": 2})
    assert await verdict(risk, "o-1") == "OrderRestricted"
    async with asyncio.timeout(PATIENCE_S):
        for number in itertools.count(2):
            if await verdict(risk, f"o-{number}") == "OrderCleared":
                break
    assert (await trial(risk))["changed"] == 0


async def test_trial_tells_what_a_threshold_costs(risk: Inside) -> None:
    """How many, which, by which rules, what became of them, and how many of them were good customers."""
    await tell(risk, {"expiries": 5})
    for number, deed in enumerate(("delivered", "delivered", "expired", None)):
        await verdict(risk, f"o-{number}")
        if deed:
            await ended(risk, f"o-{number}", deed)
    await verdict(risk, "o-9", account="a-2")
    told = await trial(risk, rules=[FIVE])
    assert told["by_verdict"] == {
        "before": {"clear": 1, "restrict": 4, "refer": 0, "refuse": 0},
        "after": {"clear": 1, "restrict": 0, "refer": 0, "refuse": 4},
    }
    assert (told["screenings"], told["changed"], told["good_customers"]) == (5, 4, 2)
    assert told["endings"] == [
        {"before": "restrict", "after": "refuse", "ending": ending, "orders": orders}
        for ending, orders in (("delivered", 2), ("expired", 1), ("open", 1))
    ]
    assert [(o["order_id"], o["before"], o["after"], o["rules"], o["ending"]) for o in told["orders"]] == [
        ("o-0", "restrict", "refuse", ["five"], "delivered"),
        ("o-1", "restrict", "refuse", ["five"], "delivered"),
        ("o-2", "restrict", "refuse", ["five"], "expired"),
        ("o-3", "restrict", "refuse", ["five"], "open"),
    ]
    milder = await trial(risk, levels=NEVER)
    assert (after(milder), milder["good_customers"]) == ({"clear": 5}, 0)  # delivered, and treated more mildly
    assert (await trial(risk, rules=[]))["by_verdict"]["after"]["clear"] == 5
    assert [row["verdict"] for row in await risk.pool.fetch("select distinct verdict from screenings order by 1")] == [
        "clear",
        "restrict",
    ]
    assert (await risk.ask("GET", "/rules")).json()["version"] == 0  # and nothing was written


async def test_blocklist_stays_as_it_was(risk: Inside) -> None:
    """No rules would make an entry go away; stronger rules count beside it."""
    await tell(risk, {"expiries": 5})
    await block(risk, "a-1", "refer")
    assert await verdict(risk, "o-1") == "OrderReferred"
    await risk.ask("DELETE", "/blocklist/account/a-1")
    assert after(await trial(risk, levels=NEVER)) == {"refer": 1}
    assert after(await trial(risk, rules=[FIVE])) == {"refuse": 1}


async def test_switched_off_and_forgotten_are_counted_apart(risk: Inside) -> None:
    """Neither is decided again; a screening that saw nothing is."""
    await tell(risk, {"expiries": 5})
    await verdict(risk, "o-1")
    await verdict(risk, "o-2", account="a-2")
    await risk.ask("PUT", "/switch", {"on": False})
    await verdict(risk, "o-3")
    await risk.pool.execute(_NO_FACTS, ["o-1"])
    told = await trial(risk, rules=[FIVE])
    assert (told["screenings"], told["without_facts"], told["switched_off"], told["changed"]) == (3, 1, 1, 0)
    assert after(told) == {"clear": 1}


async def test_people_are_compared_with(risk: Inside) -> None:
    """Of orders that people looked at: how often the verdict says what they said, before and after."""
    await tell(risk, {"expiries": 5, "cancels": 8})
    await tell(risk, {"expiries": 5, "cancels": 8, "deliveries": 3}, "a-2")
    levels = {"restrict": 30, "refer": 60, "refuse": None}
    assert (await risk.ask("PUT", "/levels", levels)).status_code == 200
    for order, account, said in (
        ("o-1", "a-1", "refuse"),
        ("o-2", "a-1", "restrict"),
        ("o-3", "a-2", "clear"),
        ("o-4", "a-2", "clear"),
        ("o-5", "a-2", None),
    ):
        assert await verdict(risk, order, account) == "OrderReferred"
        if said:
            assert (await risk.ask("POST", f"/reviews/{order}", {"verdict": said})).status_code == 202
    await risk.time_passes(901)  # nobody decided about the last one: that is no label
    labels = (await trial(risk, levels={"restrict": 100, "refer": None, "refuse": None}))["labels"]
    assert labels == {"before": {"agree": 2, "disagree": 2}, "after": {"agree": 4, "disagree": 0}}


async def test_trial_goes_on_where_it_stopped(risk: Inside) -> None:
    """Requests of any size add up to the same, each order once."""
    await an_evening(risk, 7)
    whole = await trial(risk, rules=[FIVE])
    assert (whole["complete"], whole["next"]) == (True, None)
    assert whole["changed"] > 0
    for limit in (1, 7, 30, 60):
        body: dict[str, Any] = {"since": whole["since"]}
        parts = []
        while True:
            told = await trial(risk, **body, until=whole["until"], rules=[FIVE], limit=limit)
            assert told["screenings"] <= limit
            parts.append(told)
            assert len(parts) <= whole["screenings"] + 1
            if told["complete"]:
                break
            body = told["next"]
        assert [order for part in parts for order in part["orders"]] == whole["orders"]
        for key in ("screenings", "changed", "good_customers"):
            assert sum(part[key] for part in parts) == whole[key]
        assert dict(sum((Counter(after(part)) for part in parts), Counter())) == after(whole)


async def many(risk: Inside, orders: int) -> None:
    """Screenings that were refused for nothing, all of one moment."""
    await risk.pool.execute(
        """
        insert into screenings (order_id, account, phase, at, total, verdict, score, rules_version, facts)
        select 'o-' || lpad(n::text, 4, '0'), 'a-1', 'refused', now(), 1, 'refuse', 0, 0, '{"counts":{},"earlier":[]}'
        from generate_series(1, $1::int) n
        """,
        orders,
    )


async def test_only_the_first_changed_orders_are_named(risk: Inside) -> None:
    """All are counted, over all portions."""
    await many(risk, 2 * PORTION + 500)
    told = await trial(risk)
    assert (told["screenings"], told["changed"], len(told["orders"])) == (2_500, 2_500, SHOWN_MAX)
    assert told["orders"][0]["order_id"] == "o-0001"
    assert told["endings"] == [{"before": "refuse", "after": "clear", "ending": "open", "orders": 2_500}]


async def test_request_answers_in_time(risk: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over it begins no other portion, and says where it stopped."""
    monkeypatch.setattr(rules_api, "TRIAL_S", 0)
    await many(risk, PORTION + 1)
    told = await trial(risk)
    assert (told["screenings"], told["complete"], told["next"]["after"]) == (PORTION, False, f"o-{PORTION}")
    rest = await trial(risk, **told["next"], until=told["until"])
    assert (rest["screenings"], rest["complete"]) == (1, True)


async def test_one_trial_at_a_time(risk: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is told to try again: screening orders comes first."""
    began, go = asyncio.Event(), asyncio.Event()

    async def held(*arguments: Any, **more: Any) -> Place | None:
        began.set()
        await go.wait()
        return await go_on(*arguments, **more)

    monkeypatch.setattr(rules_api, "go_on", held)
    first = asyncio.create_task(trial(risk))
    await began.wait()
    second = await risk.ask("POST", "/rules/trial", {"since": datetime.now(UTC).isoformat()})
    assert (second.status_code, second.json()["code"]) == (503, "overloaded")
    go.set()
    assert (await first)["complete"]
    assert (await trial(risk))["complete"]


RULE = FIVE | {"name": "r"}
WRONG = [
    ({**LONG_AGO, "until": "2027-11-02T00:00:00Z"}, "trial_too_long"),
    ({"since": "2025-11-01T00:00:00Z"}, "trial_too_long"),
    ({**LONG_AGO, "until": "2026-12-02T00:00:01Z"}, "trial_too_long"),
    ({**LONG_AGO, "until": "2026-11-01T00:00:00Z"}, "invalid_request"),
    ({"since": "2026-11-01"}, "invalid_request"),
    ({"since": "2026-11-01T00:00:00"}, "invalid_request"),
    ({}, "invalid_request"),
    ({**LONG_AGO, "limit": 0}, "invalid_request"),
    ({**LONG_AGO, "limit": 100_001}, "invalid_request"),
    ({**LONG_AGO, "after": "\U0001f600"}, "invalid_request"),
    ({**LONG_AGO, "rules": [RULE, RULE]}, "rules_malformed"),
    ({**LONG_AGO, "rules": [RULE | {"name": f"r-{n}"} for n in range(101)]}, "too_many_rules"),
    ({**LONG_AGO, "rules": [RULE | {"name": "\U0001f600"}]}, "invalid_request"),
    ({**LONG_AGO, "rules": [RULE | {"threshold": "5"}]}, "invalid_request"),
    ({**LONG_AGO, "rules": [RULE | {"threshold": True}]}, "invalid_request"),
    ({**LONG_AGO, "rules": [RULE | {"window_s": 0}]}, "window_out_of_range"),
    ({**LONG_AGO, "rules": [RULE | {"signal": "karma"}]}, "signal_unknown"),
    ({**LONG_AGO, "rules": [RULE | {"treatment": None}]}, "treatment_missing"),
    ({**LONG_AGO, "levels": {"restrict": 3, "refer": 2, "refuse": 1}}, "levels_out_of_order"),
]


@pytest.mark.parametrize(("body", "code"), WRONG)
async def test_nonsense_is_refused(risk: Inside, body: dict[str, Any], code: str) -> None:
    """With a stable code."""
    answer = await risk.ask("POST", "/rules/trial", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


async def test_not_even_a_number(risk: Inside) -> None:
    """NaN is no JSON; a body of more than a megabyte is not read."""
    headers = {"Content-Type": "application/json"}
    nan = b'{"since": "2026-11-01T00:00:00Z", "levels": {"restrict": NaN, "refer": 2, "refuse": 3}}'
    for body, status, code in ((nan, 400, "malformed_json"), (b" " * 1_000_001, 413, "body_too_large")):
        answer = await risk.post_bytes("/rules/trial", body, headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("role", ["customer_service", "storekeeper", "picker", "courier"])
async def test_only_analysts_may(risk: Inside, role: str) -> None:
    """Trying rules shows what they are."""
    assert (await risk.ask("POST", "/rules/trial", LONG_AGO, role=role)).status_code == 403


# -- larder risk replay ------------------------------------------------------------------------------------------------


async def test_replay_of_a_file(risk: Inside, tmp_path: Path) -> None:
    """The same as over HTTP, over any time, and in words."""
    await an_evening(risk, 3)
    file = tmp_path / "rules.toml"
    file.write_text(
        '[levels]\n[rules.five]\nsignal = "expiries"\nthreshold = 5\nwindow_s = 86400\ntreatment = "refuse"\n'
    )
    told = await trial(risk, rules=[FIVE], levels=NEVER)
    long_ago, until = datetime(2020, 1, 1, tzinfo=UTC), datetime.fromisoformat(told["until"])
    async with risk.pool.acquire() as connection:
        page = await replayed(connection, long_ago, until, read_file(file))
        today = await replayed(connection, long_ago, until, None)
    assert json.loads(page.model_dump_json()).items() <= told.items()
    assert today.changed == 0
    lines = lines_of(page, long_ago, until, str(file))
    assert lines[0].startswith("60 screenings ")
    assert any(f"{told['good_customers']:,} good customer" in line for line in lines)
    assert any(told["orders"][0]["order_id"] in line for line in lines)


DELIVERED_TOML = Path(rules_module.__file__).with_name("delivered_rules.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"#" * (TEXT_MAX_BYTES + 1), "rules_too_large: .*at most 100,000 bytes"),
        (b"x" * 1_000_000, "at most 100,000 bytes"),
        (b"\xff", "rules_malformed"),
        (b"rules = 1", "rules_malformed"),
        (b"[levels", "rules_malformed"),
        (b'[levels]\n[rules.a]\nsignal = "karma"\nthreshold = 1\nwindow_s = 1\nweight = 1', "signal_unknown"),
        (
            b'[levels]\n[rules.a]\nsignal = "orders"\nthreshold = nan\nwindow_s = 1\nweight = 1',
            "threshold_out_of_range",
        ),
        (b'[levels]\n[rules.a]\nsignal = "orders"\nthreshold = true\nwindow_s = 1\nweight = 1', "rules_malformed"),
        (b'[levels]\n[rules.a]\nsignal = "orders"\nthreshold = 1\nwindow_s = inf\nweight = 1', "window_out_of_range"),
        (
            '[levels]\n[rules."\U0001f600"]\nsignal = "orders"\nthreshold = 1\nwindow_s = 1\nweight = 1'.encode(),
            "name_malformed",
        ),
        (b"[levels]\nrestrict = 3\nrefer = 2\n[rules]", "levels_out_of_order"),
        (
            b"[levels]\n"
            + b"".join(
                b'[rules.r%d]\nsignal = "orders"\nthreshold = 1\nwindow_s = 1\nweight = 1\n' % n for n in range(101)
            ),
            "too_many_rules",
        ),
    ],
)
def test_file_that_holds_no_rules_is_refused(tmp_path: Path, text: bytes, told: str) -> None:
    """With the code, before anything is read of the database."""
    file = tmp_path / "rules.toml"
    file.write_bytes(text)
    with pytest.raises(StackError, match=told):
        read_file(file)


def test_delivered_file_is_one(tmp_path: Path) -> None:
    """Whoever changes a copy of it has a file to try."""
    assert read_file(DELIVERED_TOML) == DELIVERED
