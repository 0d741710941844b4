"""Who may look at a service and at what it parked, and what of its settings is told. With a database:
tests/runtime/test_operations.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import tokens
from shared.http import operations
from shared.http.app import make_app
from shared.http.auth import Role
from shared.runtime.metrics import Working
from shared.settings import Settings
from tests.http.routes import SETTINGS, routers
from tests.http.shop import check_problem

ROUTES = [
    ("GET", "/operations", None),
    ("GET", "/parked", None),
    ("GET", "/parked/1", None),
    ("POST", "/parked/1/replay", None),
    ("POST", "/parked/1/drop", {"reason": "no order of ours"}),
]
UNTOLD = {
    "home",
    "kafka",
    "database",
    "host",
    "token_secret",
    "token_secret_file",
    "signals_store",
    "signals_nice",
    "services_at",
    *(name for name in Settings.model_fields if name.endswith("_port")),
}
"""Where something is, secrets, and what is another process's."""


@pytest.mark.parametrize("role", [None, *(role for role in Role if role is not Role.ADMIN)])
@pytest.mark.parametrize("service", routers())
async def test_only_admin_gets_in(service: str, role: Role | None) -> None:
    """Of every service and by every route: 401 without a token, 403 for whoever else works here or buys here."""
    app = make_app(service, service, "", routers=routers()[service], ready=lambda: None, settings=SETTINGS)
    headers = {}
    if role:
        token = tokens.create(SETTINGS, role, "a-1" if role is Role.CUSTOMER else None)
        headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://it") as client:
        for method, path, body in ROUTES:
            answer = await client.request(method, path, json=body, headers=headers)
            check_problem(answer, 403 if role else 401, "wrong_role" if role else "no_token")


def test_every_setting_is_told_or_kept_to_oneself() -> None:
    """Whoever adds a setting says which; one that is told leads to no secret."""
    assert set(operations.SETTINGS_TOLD) | UNTOLD == set(Settings.model_fields)
    assert not set(operations.SETTINGS_TOLD) & UNTOLD


class Pool:
    """A database in which nothing is under way, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetchrow(self, *_: object) -> dict[str, Any]:
        self.asked += 1
        at = "2026-11-28T00:00:00Z"
        return {"at": at, "due": 0, "next_at": None, "asked": 0, "parked": 0, "kinds": "[]"}


async def test_the_settings_are_told_as_they_are_and_no_secret_with_them(tmp_path: Path) -> None:
    """Windows, bounds and the currency; nothing of where the broker and the database are. The tables are looked at
    once, however many ask."""
    secret = "planted-where-nobody-may-see-it-" + "x" * 10
    settings = Settings(
        home=tmp_path / secret,
        kafka=f"{secret}:9092",
        database=f"postgresql://{{service}}:{secret}@db/{{service}}",
        token_secret=secret,
        token_secret_file=tmp_path / secret,
        currency="SEK",
        payment_window_s=61.5,
        beat_ms=7,
    )
    pool: Any = Pool()
    app = make_app(
        "order",
        "Orders",
        "",
        routers=operations.routes("order", pool, settings, Working),
        ready=lambda: None,
        settings=settings,
    )
    headers = {"Authorization": f"Bearer {tokens.create(settings, 'admin')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://it") as client:
        answers = [await client.get("/operations", headers=headers) for _ in range(5)]
    told = answers[0].json()["settings"]
    assert (told["currency"], told["payment_window_s"], told["beat_ms"], told["shards"]) == ("SEK", 61.5, 7, 1)
    assert told["kafka_idempotence"] is True
    assert set(told) == set(operations.SETTINGS_TOLD)
    assert not any(secret in answer.text for answer in answers)
    assert pool.asked == 1
