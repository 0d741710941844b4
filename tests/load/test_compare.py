"""`larder adversaries`: rules are set and put back over HTTP, and what came out is shown."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import msgspec
import pytest

from larder.load.compare import KINDS, SCREENINGS, STRICTER, Desk, Outcome, Screening, draw, table
from larder.load.errors import LoadError
from larder.load.watch import Watch
from services.risk.rules import DELIVERED, Levels, Rule
from shared.contracts import inventory, risk
from shared.settings import Settings
from tests.load.test_watch import said

MINE = {"signal": "expiries", "threshold": 7.0, "window_s": 60.0, "weight": 5.0, "treatment": "refer", "enabled": False}


class Risk:
    """A stand-in for risk's HTTP: rules, levels, switch."""

    def __init__(self) -> None:
        self.rules: dict[str, dict[str, Any]] = {"mine": MINE}
        self.levels: dict[str, Any] = {"restrict": 10.0, "refer": None, "refuse": 90.0}
        self.on = False
        self.calls: list[str] = []
        self.deaf = False
        """Whether it takes rules, and does nothing with them."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"].startswith("Bearer ")
        path = request.url.path
        if request.method == "GET":
            items = [{"name": name, "changed_by": "x", **rule} for name, rule in self.rules.items()]
            return httpx.Response(200, json={"/switch": {"on": self.on}}.get(path) or {
                "items": items, "version": 3, "levels": {**self.levels, "changed_by": "x"}
            })  # fmt: skip
        self.calls.append(f"{request.method} {path}")
        if self.deaf:
            return httpx.Response(204)
        if request.method == "DELETE":
            assert request.url.params["reason"].startswith("a comparison")
            del self.rules[path.removeprefix("/rules/")]
            return httpx.Response(204)
        body = json.loads(request.content)
        if path == "/switch":
            self.on = body["on"]
            return httpx.Response(200, json=body)
        assert body.pop("reason").startswith("a comparison")
        if path == "/levels":
            self.levels = body
        else:
            self.rules[path.removeprefix("/rules/")] = body
        return httpx.Response(200, json=body)


@pytest.fixture
def service() -> Risk:
    return Risk()


@pytest.fixture
def desk(service: Risk) -> Desk:
    return Desk(Settings(token_secret="x" * 40), httpx.MockTransport(service))


def test_every_screening_is_set_and_the_analysts_own_comes_back(service: Risk, desk: Desk):
    """Whatever was there before, treatment, rules that are off and missing levels included."""
    with desk, desk.kept():
        for screening in SCREENINGS:
            desk.set(screening)
            assert msgspec.convert(service.rules, dict[str, Rule]) == screening.rules.rules
            assert msgspec.convert(service.levels, Levels) == screening.rules.levels
            assert service.on is screening.on
    assert (service.rules, service.on) == ({"mine": MINE}, False)
    assert service.levels == {"restrict": 10.0, "refer": None, "refuse": 90.0}


def test_the_analysts_own_comes_back_after_a_failure_too(service: Risk, desk: Desk):
    """A load that breaks off leaves no foreign rules in force."""

    def breaks_off() -> None:
        with desk, desk.kept():
            desk.set(SCREENINGS[-1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks_off()
    assert (list(service.rules), service.on) == (["mine"], False)


def test_only_what_differs_is_written(service: Risk, desk: Desk):
    """Each change is a version with an author; the same again is none."""
    with desk:
        desk.set(SCREENINGS[2])
        service.calls.clear()
        desk.set(SCREENINGS[1])
    assert service.calls == ["PUT /switch"]


def test_rules_that_do_not_come_into_force_stop_the_comparison(service: Risk, desk: Desk):
    """What is measured is what was asked for, or nothing."""
    service.deaf = True
    with desk, pytest.raises(LoadError, match="risk's rules are not those of 'stricter rules'"):
        desk.set(SCREENINGS[-1])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(403, text="no"), r"GET http://127\.0\.0\.1:\d+/rules was not taken: 403 no"),
        (httpx.ConnectError("refused"), "was not taken: refused; is risk up"),
        (httpx.Response(200, json={"items": [], "version": 1, "levels": {"restrict": -1}}), "make no sense here"),
    ],
)
def test_a_risk_that_does_not_answer_is_told_in_a_sentence(answer: httpx.Response | Exception, told: str):
    """With the address, and what to look at."""

    def answering(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    desk = Desk(Settings(token_secret="x" * 40), httpx.MockTransport(answering))
    with desk, pytest.raises(LoadError, match=told):
        desk.set(Screening("any", DELIVERED))


def test_the_stricter_rules_are_stricter():
    """Rule by rule: the same signals, none later, none milder; else the comparison compares something else."""
    assert STRICTER.rules.keys() == DELIVERED.rules.keys()
    for name, rule in STRICTER.rules.items():
        delivered = DELIVERED.rules[name]
        assert (rule.signal, rule.window_s) == (delivered.signal, delivered.window_s)
        assert rule.weight >= delivered.weight
        assert rule.threshold < delivered.threshold or rule.weight < 0 < rule.threshold - delivered.threshold
    for level in ("restrict", "refer", "refuse"):
        assert getattr(STRICTER.levels, level) <= getattr(DELIVERED.levels, level)


def outcome(name: str, verdict: type[risk.OrderCleared] | type[risk.OrderRestricted], seconds: int) -> Outcome:
    """An adversary who locks two pieces for so long, and two customers, one of whom is not cleared."""
    watch = Watch()
    for id_, kind, pieces in (("o-1", "unpaid", 2), ("o-2", None, 1), ("o-3", None, 1)):
        watch.placed(id_.encode(), kind, id_, pieces)
    watch.hear([said(risk.OrderCleared(order_id="o-1"), 0), said(inventory.StockHeld(order_id="o-1", mode="lock"), 0)])
    watch.hear([said(inventory.StockReleased(order_id="o-1"), seconds * 1000)])
    watch.hear([said(risk.OrderCleared(order_id="o-2"), 0), said(verdict(order_id="o-3"), 0)])
    return Outcome(name, {"orders": 3, "screening": watch.summary()})


def test_the_table_has_a_row_for_each_screening():
    """Stock-time also as a share of the most, mistakes of all customers' orders; kinds in a table of their own."""
    lines = table([outcome("none", risk.OrderCleared, 500), outcome("some", risk.OrderRestricted, 100)]).splitlines()
    assert {line.count("|") for line in lines[:4]} == {13}
    assert (
        lines[2] == "| none | 1 | 1 | 0 | 0 | 0 | 1,000 (100.0%) | 2 | 0 (0.0%) | 0 (0.0%) | 0 (0.0%) | 0 of 2 (0.0%) |"
    )
    assert (
        lines[3] == "| some | 1 | 1 | 0 | 0 | 0 | 200 (20.0%) | 2 | 1 (50.0%) | 0 (0.0%) | 0 (0.0%) | 1 of 2 (50.0%) |"
    )
    assert "| unpaid | 0.0%; 1,000 | 0.0%; 200 |" in lines
    assert "| flood | none | none |" in lines
    assert len(lines) == 4 + 3 + len(KINDS)


def test_the_picture_shows_both_sides_and_is_the_same_each_time(tmp_path: Path):
    """Stock-time with its kinds, and mistakes in percent; as text, so that it can be searched and read out."""
    outcomes = [outcome("no rules", risk.OrderCleared, 500), outcome("some rules", risk.OrderRestricted, 100)]
    draw(outcomes, tmp_path / "a.svg")
    draw(outcomes, tmp_path / "b.svg")
    svg = (tmp_path / "a.svg").read_bytes()
    assert svg == (tmp_path / "b.svg").read_bytes()
    texts = {element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"1,000", "200", "0.0%", "50.0%", "unpaid", "referred"} <= texts
    assert "flood" not in texts
