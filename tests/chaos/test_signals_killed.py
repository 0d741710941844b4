"""`kill -9` of risk and of its stream application among adversaries: no money and no stock hangs on either."""

from __future__ import annotations

import pytest

from larder.stack.state import http_json, http_status
from tests.chaos.reaper import BACK_S, Mortal, load, nothing_wrong, until_ready
from tests.system.driver import until

pytestmark = pytest.mark.stack
AGE_S = 30.0
"""Signals are told every three seconds, or a sign of life every five: on a machine that just worked hard, some more."""


async def test_signals_and_risk_may_be_killed_among_adversaries(stack: Mortal, long: bool) -> None:
    """Both die in turn while a sixth of the orders are adversaries'. Each load ends by itself with clean books, rules
    have spoken all the same, and the signals are as good as new."""
    orders, rate = (20_000, 120) if long else (1_500, 60)
    deaths = 0
    async with load(stack, orders, rate, "--adversary-share", 0.17, seed=13) as playing:
        await stack.goes_on("risk")
        while not stack.is_over:
            for name in ("signals", "risk"):
                await stack.kill(name)
                deaths += 1
                await until_ready(stack.settings.port(name), name)
                await stack.goes_on("risk")  # what was counted anew is told, and orders are screened
        summary = await playing.ended_well()
    print(f"{deaths} deaths, {summary['screening']}")
    assert deaths >= 4
    await nothing_wrong(stack)
    spoke = await stack.ask_book("risk", "select count(*) from screenings where spoke is not null")
    assert spoke > orders * 0.005, "rules speak about adversaries"

    settings = stack.settings
    await until(lambda: _is_fresh(settings.host, settings.port("risk")), "fresh signals", BACK_S)
    assert await http_status(settings.host, settings.signals_port, "/readyz") == 200


async def _is_fresh(host: str, port: int) -> bool:
    told = await http_json(host, port, "/healthz")
    age_s = (told.get("signals") or {}).get("age_seconds")
    return age_s is not None and age_s < AGE_S
