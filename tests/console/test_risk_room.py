"""The risk analysts' room."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.console.rooms.risk import differences, rules_of, text_of
from services.order.pages import OrderPage
from services.risk.lists import EntryPage, ReviewPage, SwitchPage
from services.risk.rulebook import LevelsPage, RulesPage, ScreeningRule, SignalPage, VersionPage, rule_pages
from services.risk.rules import DELIVERED
from services.risk.rules_api import NextTrial, TriedSoFar
from services.risk.screenings import ScreeningPage, StandingPage
from shared.http.auth import Role
from tests.console.fakes import ACTING, Browser, Form, Played, browsing, forms_of, page, problem, sample

PAGES = ("/risk", "/risk/reviews/o-1", "/risk/blocklist", "/risk/accounts?account=a-1", "/risk/rules")
LEVELS = {"restrict": 30.0, "refer": 100.0, "refuse": None}
RULE = {"signal": "cancels", "threshold": 5.0, "window_s": 3600.0, "weight": 60.0, "treatment": None, "enabled": True}
TEXT = "[levels]\nrestrict = 30\nrefer = 100\n[rules.cancelled]\nsignal = 'cancels'\nthreshold = 5\nwindow_s = 3600\n"


def desk(*, bare: bool = False, text: str = ACTING) -> Played:
    """What risk knows."""
    services = Played()
    say: dict[str, Any] = {"bare": bare, "text": text}

    def listed(*rows: Any) -> Any:
        return page(*([] if bare else rows), following=None if bare else "c")

    review = sample(ReviewPage, **say, verdict=None, claimed_by=None)
    rules = sample(
        RulesPage,
        items=[] if bare else [{"name": "cancelled", **RULE}, {"name": "late", **RULE}],
        version=3,
        changed_by=text,
        levels=LEVELS,
        changed_at=None,
    )
    for service, path, body in (
        ("risk", "/reviews", listed(review | {"order_id": "o-1"}, review)),
        ("risk", "/reviews/o-1", review | ({} if text == ACTING else {"order_id": "o-1"})),
        ("risk", "/screenings/o-1", sample(ScreeningPage, **say)),
        ("risk", f"/accounts/{text}", sample(StandingPage, **say)),
        ("risk", "/accounts/a-1", sample(StandingPage, **say)),
        ("risk", "/switch", sample(SwitchPage, text=text, on=True)),
        ("risk", "/blocklist", listed(sample(EntryPage, text=text))),
        ("risk", "/rules", rules),
        ("risk", "/signals", listed(sample(SignalPage, text=text))),
        ("risk", "/rules/history", listed(sample(VersionPage, text=text, version=3), sample(VersionPage, version=2))),
        ("order", "/orders/o-1", sample(OrderPage, text=text, bare=bare)),
    ):
        services.say(service, path, body)
    return services


@pytest.fixture
async def analyst():
    """Jo, who works where accounts have plain names."""
    async with browsing(desk(text="a-1"), Role.RISK_ANALYST) as browser:
        yield browser


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("bare", [True, False])
async def test_every_page_shows_whatever_there_is(path, bare):
    async with browsing(desk(bare=bare), Role.RISK_ANALYST) as browser:
        html = await browser.look(path)
    assert bare or "&lt;script&gt;alert" in html


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("away", ["risk", "order"])
async def test_with_a_service_away_the_rest_stands(path, away):
    services = desk()
    services.away = {away}
    async with browsing(services, Role.RISK_ANALYST) as browser:
        await browser.look(path, 503 if (away, path) == ("risk", "/risk/reviews/o-1") else 200)


@pytest.mark.parametrize("path", [*PAGES, "/-/risk"])
async def test_others_are_told_whose_room_it_is(path):
    async with browsing(desk(), Role.CUSTOMER_SERVICE) as browser:
        assert "this room is for" in await browser.look(path, 403)


async def test_the_stream_shows_the_queue(analyst: Browser):
    assert "/risk/reviews/o-1" in await analyst.event("/-/risk")


@pytest.mark.parametrize(("on", "want"), [(True, False), (False, True)])
async def test_the_switch_is_turned_once_somebody_is_sure(analyst: Browser, on, want):
    analyst.services.say("risk", "/switch", sample(SwitchPage, on=on))
    analyst.services.say("risk", "/switch", {}, method="PUT")
    form = await analyst.form("/risk", "/risk/switch")
    assert "Say that you are sure" in (await analyst.send(form, 422)).text
    assert not analyst.services.sent
    await analyst.does(form, ("risk", "PUT", "/switch", {"on": want}), sure="yes")
    form = await analyst.form("/risk", "/risk/switch")
    analyst.services.say("risk", "/switch", sample(SwitchPage, on=want))
    assert (await analyst.send(form, 409, sure="yes")).status_code == 409
    assert len(analyst.services.sent) == 1


async def test_a_review_is_claimed_let_go_and_decided(analyst: Browser):
    at, say = "/reviews/o-1", analyst.services.say
    review = analyst.services.says["risk", "GET", at][1]
    for step, claimed_by in (("/claim", None), ("/release", "risk_analyst:jo"), ("/claim", "risk_analyst:jo")):
        say("risk", at, review | {"claimed_by": claimed_by})
        say("risk", at + step, {}, method="POST", status=202)
        form = await analyst.form("/risk" + at, f"/risk{at}{step}")
        await analyst.does(form, ("risk", "POST", at + step, {}))
    say("risk", at, {}, method="POST", status=202)
    form = await analyst.form("/risk" + at, "/risk" + at)
    body: dict[str, Any] = {"verdict": "clear", "note": "known to me"}
    await analyst.does(form, ("risk", "POST", at, body), verdict="clear", note="known to me")
    form = await analyst.form("/risk" + at, "/risk" + at)
    block = {"kinds": ["account", "device"], "treatment": "refer", "until": "2026-12-01T00:00:00Z"}
    typed = {"treatment": "refer", "until": "2026-12-01T00:00", "block": ["account", "device"]}
    want = ("risk", "POST", at, {"verdict": "refuse", "note": "", "block": block})
    await analyst.does(form, want, verdict="refuse", **typed)


@pytest.mark.parametrize(
    ("now", "is_"),
    [
        ({"claimed_by": "risk_analyst:maria"}, "claimed by risk analyst:maria"),
        ({"verdict": "withdrawn", "decided_by": ""}, "withdrawn"),
    ],
)
async def test_somebody_else_was_faster(analyst: Browser, now, is_):
    at = "/reviews/o-1"
    form = await analyst.form("/risk" + at, "/risk" + at)
    analyst.services.say("risk", at, analyst.services.says["risk", "GET", at][1] | now)
    said = await analyst.send(form, 409, verdict="refuse", note="kept<")
    assert "now it is" in said.text
    assert not analyst.services.sent
    assert ("kept&lt;" in said.text) is ("verdict" not in now)


async def test_a_problem_keeps_the_verdict(analyst: Browser):
    at = "/reviews/o-1"
    analyst.services.say("risk", at, problem("review_claimed", 409, trace_id="ab"), method="POST", status=409)
    form = await analyst.form("/risk" + at, "/risk" + at)
    said = await analyst.send(form, 409, verdict="restrict", note="kept<", block=["address"])
    assert "No: review_claimed" in said.text
    assert "kept&lt;" in said.text
    assert 'value="restrict" required checked' in said.text
    assert 'value="address" checked' in said.text
    said = await analyst.send(form, 422, verdict="restrict", note="kept<", block=["address"], until="soon")
    assert "no day with a time" in said.text


@pytest.mark.parametrize("value", ["a-1", "auth0|1/2 ?#é", "..", "."])
async def test_the_blocklist(analyst: Browser, value):
    path = f"/blocklist/account/{value}"
    analyst.services.say("risk", path, {}, method="PUT")
    form = await analyst.form("/risk/blocklist", "/risk/blocklist/put")
    typed = {"kind": "account", "value": value, "treatment": "refuse", "reason": "fraud"}
    body = {"reason": "fraud", "treatment": "refuse"}
    await analyst.does(form, ("risk", "PUT", path, body), **typed)
    form = await analyst.form("/risk/blocklist", "/risk/blocklist/put")
    want = ("risk", "PUT", path, body | {"until": "2026-12-01T10:00:00Z"})
    await analyst.does(form, want, **typed, until="2026-12-01T10:00")
    analyst.services.say("risk", "/blocklist", page(sample(EntryPage, text=value)))
    analyst.services.say("risk", path, None, method="DELETE", status=204)
    form = await analyst.form("/risk/blocklist", "/risk/blocklist/remove")
    assert dict(form.fields)["value"] == value
    await analyst.does(form, ("risk", "DELETE", path, {}))
    assert len(analyst.services.sent) == 3


async def test_a_problem_keeps_the_entry(analyst: Browser):
    form = await analyst.form("/risk/blocklist", "/risk/blocklist/put")
    typed = {"kind": "device", "value": "d<1", "treatment": "refer", "reason": "kept<"}
    analyst.services.say("risk", "/blocklist/device/d<1", problem("invalid_request", 422), method="PUT", status=422)
    for wrong in ({}, {"until": "soon"}, {"value": ""}):
        said = await analyst.send(form, 422, **(typed | wrong))
        assert "kept&lt;" in said.text
        assert 'value="device" selected' in said.text
    await analyst.send(form, 404, to="/risk/blocklist/nothing", **typed)


def in_force(*names: str, **levels: Any) -> dict[str, Any]:
    return {
        "items": [{"name": name, **RULE} for name in names],
        "levels": LEVELS | levels,
        "version": 3,
        "changed_by": "x",
    }


def test_rules_as_text_are_read_as_they_were():
    told: dict[str, Any] = {"items": [one.model_dump(mode="json") for one in rule_pages(DELIVERED)], "version": 0}
    told["levels"] = {"restrict": 30.5, "refer": None, "refuse": 200.0}
    told["items"].append({"name": "o-1.a:b@c", **RULE, "weight": -2.25, "treatment": "refer", "enabled": False})
    assert differences(told, rules_of(text_of(told))) == []
    assert text_of({"items": [], "levels": dict.fromkeys(LEVELS)}) == "[levels]\n"
    assert set(LevelsPage.model_fields) == set(LEVELS)
    assert set(ScreeningRule.model_fields) == {"name", *RULE}


def test_differences_are_steps():
    proposed = rules_of(TEXT.replace("refer = 100", "refer = 90") + "[rules.new]\nsignal = 'x'\n")
    steps = [(step["method"], step["path"]) for step in differences(in_force("cancelled", "late"), proposed)]
    assert steps == [("DELETE", "/rules/late"), ("PUT", "/rules/cancelled"), ("PUT", "/rules/new"), ("PUT", "/levels")]


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "a = 1",
        "rules = 1",
        "levels = 1",
        "[rules]\nx = 1",
        "[levels]\nmild = 1",
        "[rules.x]\nsince = 2026-11-28T00:00:00Z",
        "[rules.x]\nthreshold = inf",
        "[levels]\nrefer = nan",
        "[rules.x]\nsignal = ['a']",
        "a = " + "[" * 5000,
        "a = " + "1" * 5000,
        "#" * 50_001,
    ],
)
async def test_a_text_that_is_none_is_kept_and_said(analyst: Browser, text):
    form = await analyst.form("/risk/rules", "/risk/rules/try")
    said = await analyst.send(form, 422, text=text)
    assert "Put it right" in said.text
    assert text in said.text.replace("&#39;", "'")
    assert not analyst.services.sent


async def test_a_trial_shows_what_would_change(analyst: Browser):
    tried = sample(TriedSoFar, complete=False, changed=17, next=sample(NextTrial, after="o-9"))
    analyst.services.say("risk", "/rules/trial", tried, method="POST")
    form = await analyst.form("/risk/rules", "/risk/rules/try")
    said = await analyst.send(form, 200, text=TEXT, days="3")
    (asked,) = analyst.services.sent
    since = datetime.fromisoformat(asked.body.pop("since"))
    assert abs(datetime.now(UTC) - timedelta(days=3) - since) < timedelta(minutes=1)
    rule = {"name": "cancelled", "signal": "cancels", "threshold": 5, "window_s": 3600}
    assert asked.body == {"rules": [rule], "levels": LEVELS}
    assert "17 would have been treated otherwise" in said.text
    assert "takes away late" in said.text
    on = next(one for one in forms_of(said.text) if one.action == "/risk/rules/try")
    said = await analyst.send(on, 200)
    assert {name: analyst.services.sent[1].body[name] for name in ("since", "after", "until")} == {
        "since": tried["next"]["since"],
        "after": "o-9",
        "until": tried["until"],
    }
    assert TEXT.strip() in said.text.replace("&#39;", "'")
    for days in ("0", "32", "x"):
        assert (await analyst.send(form, 422, text=TEXT, days=days)).text


async def proposal(analyst: Browser) -> Form:
    """The form that puts TEXT in force."""
    analyst.services.say("risk", "/rules/trial", sample(TriedSoFar), method="POST")
    tried = await analyst.send(await analyst.form("/risk/rules", "/risk/rules/try"), 200, text=TEXT)
    analyst.services.asked.clear()
    return next(form for form in forms_of(tried.text) if form.action == "/risk/rules/force")


async def test_a_proposal_is_put_in_force_step_by_step_and_once(analyst: Browser):
    form = await proposal(analyst)
    analyst.services.say("risk", "/rules/late", None, method="DELETE", status=204)
    analyst.services.say("risk", "/rules/cancelled", {}, method="PUT")
    said = await asyncio.gather(*(analyst.send(form, reason="milder") for _ in range(3)))
    analyst.services.say("risk", "/rules", in_force("cancelled") | {"version": 5})
    said.append(await analyst.send(form, reason="milder"))
    assert {one.headers["location"] for one in said} == {"/risk/rules?done=the+rules+are+in+force"}
    rule = {"signal": "cancels", "threshold": 5, "window_s": 3600, "reason": "milder"}
    assert [asked[1:4] + asked[6:] for asked in analyst.services.sent] == [
        ("DELETE", "/rules/late", {"reason": "milder"}, {}),
        ("PUT", "/rules/cancelled", {}, rule),
    ]


async def test_what_is_not_in_force_yet_is_left_as_a_difference(analyst: Browser):
    form = await proposal(analyst)
    analyst.services.say("risk", "/rules/late", None, method="DELETE", status=204)
    analyst.services.say("risk", "/rules/cancelled", problem("treatment_missing", 422), method="PUT", status=422)
    said = await analyst.send(form, 422, reason="kept<")
    assert "No: treatment_missing" in said.text
    assert "kept&lt;" in said.text
    assert "changes cancelled" in said.text
    analyst.services.say("risk", "/rules", in_force("cancelled", "late", "other") | {"version": 4})
    said = await analyst.send(form, 409, reason="kept<")
    assert "it was version 3, now it is version 4" in said.text
    assert "takes away other" in said.text


async def test_a_version_is_put_back(analyst: Browser):
    path = "/rules/history/2/restore"
    analyst.services.say("risk", path, {}, method="POST")
    form = await analyst.form("/risk/rules", "/risk/rules/restore/2")
    await analyst.does(form, ("risk", "POST", path, {"reason": "too strict"}), reason="too strict")
    assert len(analyst.services.sent) == 1
    form = await analyst.form("/risk/rules", "/risk/rules/restore/2")
    analyst.services.say("risk", path, problem("version_unknown", 404), method="POST", status=404)
    assert "kept&lt;" in (await analyst.send(form, 404, reason="kept<")).text
    analyst.services.say("risk", "/rules", in_force() | {"version": 9})
    assert "now it is version 9" in (await analyst.send(form, 409, reason="kept<")).text


@pytest.mark.parametrize("name", ["", "0" * 32])
async def test_a_form_that_is_not_ours_is_refused(analyst: Browser, name):
    for path, action in (
        ("/risk", "/risk/switch"),
        ("/risk/reviews/o-1", "/risk/reviews/o-1"),
        ("/risk/reviews/o-1", "/risk/reviews/o-1/claim"),
        ("/risk/blocklist", "/risk/blocklist/put"),
        ("/risk/blocklist", "/risk/blocklist/remove"),
        ("/risk/rules", "/risk/rules/try"),
        ("/risk/rules", "/risk/rules/restore/2"),
    ):
        await analyst.send(await analyst.form(path, action), 403, form=name)
    await analyst.send(await analyst.form("/risk/rules", "/risk/rules/try"), 403, to="/risk/rules/force", form=name)
    assert not analyst.services.sent
