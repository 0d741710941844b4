"""The aftersales service: a window from its opening to its end, as the customer sees it; tickets, as staff do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.aftersales import api
from services.aftersales.decider import DECIDER
from services.aftersales.main import SERVICE
from services.aftersales.oldest import look
from services.aftersales.store import AftersalesStore
from shared.contracts import aftersales
from shared.runtime.decider import Windows
from tests.deciders.tickets import raised, settled
from tests.parts import RealParts
from tests.services.inside import PATIENCE_S, Inside, inside

pytestmark = pytest.mark.parts


@pytest.fixture
async def service(parts: RealParts, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """An aftersales service with an empty database and a window of an hour."""
    windows = Windows(after_sales_window_s=3600)
    monkeypatch.setattr(api, "WORD_OF_ORDER_S", 0.02)
    async with inside(
        DECIDER, AftersalesStore(), api.routes, parts.fresh_database, windows, SERVICE.resting
    ) as service:
        yield service


async def test_window_opens_and_shuts(service: Inside) -> None:
    """Open until its time has passed, also when the service was restarted meanwhile; shut once."""
    delivered = aftersales.OpenWindow(order_id="o-1", account="a-1", store="s-1")
    assert await service.hear(delivered) == []
    opened = (await service.ask("GET", "/orders/o-1/window", role="customer", account="a-1")).json()
    assert opened["phase"] == "open"
    await service.forget()
    assert await service.time_passes(3590) == []
    assert await service.time_passes(3601) == ["WindowShut"]
    await service.forget()
    assert await service.hear(delivered) == []
    assert await service.time_passes(7300) == []
    shut = (await service.ask("GET", "/orders/o-1/window", role="customer_service")).json()
    assert shut == {**opened, "phase": "shut"}


async def test_window_of_another_customer_is_unknown(service: Inside) -> None:
    """As unknown as that of an order that was never delivered."""
    await service.hear(aftersales.OpenWindow(order_id="o-1", account="a-1", store="s-1"))
    for path, account in (("/orders/o-1/window", "a-2"), ("/orders/o-2/window", "a-1")):
        answer = await service.ask("GET", path, role="customer", account=account)
        assert (answer.status_code, answer.json()["code"]) == (404, "window_unknown")
    assert (await service.ask("GET", "/orders/o-1/window", role="picker")).status_code == 403


SUBSTITUTE = {"outcome": "substitute", "substitutes": [{"spu": "plum", "quantity": 2, "instead_of": "apple"}]}
INTERCEPT = {"order_id": "o-1", "kind": "intercept", "reason": "wrong address"}


async def asked(service: Inside, path: str, body: Any = None, status: int = 202, **more: Any) -> dict[str, Any]:
    """Customer service asks for something, and gets this answer."""
    answer = await service.ask("POST", path, body, role=more.pop("role", "customer_service"), **more)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def shown(service: Inside, ticket_id: str = "t-1") -> dict[str, Any]:
    """A ticket's page."""
    answer = await service.ask("GET", f"/tickets/{ticket_id}", role="customer_service")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_intercept_from_its_opening_to_its_end(service: Inside) -> None:
    """The order is asked at once; too late, the ticket says so and offers a return."""
    answer = await service.ask("POST", "/tickets", INTERCEPT, role="customer_service")
    assert answer.status_code == 202, answer.text
    page = answer.json()
    ticket_id = page["ticket_id"]
    assert answer.headers["Location"] == f"/tickets/{ticket_id}"
    assert (page["order_id"], page["kind"], page["phase"]) == ("o-1", "intercept", "deciding")
    assert (page["reason"], page["lines"], page["allowed"]) == ("wrong address", [], ["claim", "note"])
    assert (page["opened_by"], page["ended_at"]) == ("customer_service:", None)
    assert "InterceptAsked" in str(service.commits[-1].outbox)
    await service.forget()
    assert await service.hear(settled("resolved", "too_late", ticket_id)) == ["TicketEnded"]
    ended = await shown(service, ticket_id)
    assert (ended["phase"], ended["note"], ended["offers"]) == ("resolved", "too_late", ["return"])
    assert ended["ended_at"] is not None


async def test_ticket_for_no_order_is_told_so(service: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """404 `order_unknown` when the order service says so in time, also to a repeat; any other end is an answer like
    the others; without its word it is 202."""
    monkeypatch.setattr(api, "WORD_OF_ORDER_S", PATIENCE_S)
    for note, status in (("order_unknown", 404), ("not_in_delivery", 202)):
        post: dict[str, Any] = {"headers": {"Idempotency-Key": note}, "role": "customer_service"}
        asking = asyncio.create_task(service.ask("POST", "/tickets", INTERCEPT, **post))
        await service.until_said("TicketOpened")
        (waiting,) = (await service.ask("GET", "/tickets?phase=deciding")).json()["items"]
        await service.hear(settled("rejected", note, waiting["ticket_id"]))
        for answer in (await asking, await service.ask("POST", "/tickets", INTERCEPT, **post)):
            assert answer.status_code == status, answer.text
            said = answer.json().get("code") or answer.json()["note"]
            assert said == note
        service.commits.clear()
    monkeypatch.setattr(api, "WORD_OF_ORDER_S", 0.02)
    assert (await asked(service, "/tickets", INTERCEPT))["phase"] == "deciding"


async def test_intercept_with_the_same_key_is_the_same_ticket(service: Inside) -> None:
    """Same key and body: the same answer. Another body: refused. Another key: another ticket."""
    key = {"Idempotency-Key": "k-1"}
    first = await asked(service, "/tickets", INTERCEPT, headers=key)
    again = await asked(service, "/tickets", INTERCEPT, headers=key)
    assert again == first
    other = await asked(service, "/tickets", INTERCEPT | {"reason": "x"}, 422, headers=key)
    assert other["code"] == "idempotency_key_reused"
    assert (await asked(service, "/tickets", INTERCEPT))["ticket_id"] != first["ticket_id"]


async def test_call_from_the_shortage_to_its_outcome(service: Inside) -> None:
    """What is short is on the page; a substitute that cannot be brings the call back with a note; restarts."""
    assert await service.hear(raised("shortage")) == ["TicketOpened"]
    page = await shown(service)
    assert page["lines"] == [{"spu": "apple", "quantity": 3}, {"spu": "pear", "quantity": 1}]
    assert (page["account"], page["store"], page["opened_by"], page["call"]) == ("a-1", "s-1", "", None)
    assert page["allowed"] == ["call-outcome", "claim", "note"]
    await service.forget()
    deciding = await asked(service, "/tickets/t-1/call-outcome", SUBSTITUTE)
    assert (deciding["phase"], deciding["allowed"]) == ("deciding", ["claim", "note"])
    assert deciding["call"] == {**SUBSTITUTE, "by": "customer_service:", "at": deciding["call"]["at"]}
    assert "SubstituteChosen" in str(service.commits[-1].outbox)
    await service.forget()
    assert await service.hear(aftersales.ReopenCall(order_id="o-1", ticket_id="t-1", note="substitute_short")) == [
        "TicketMoved"
    ]
    assert (await shown(service))["note"] == "substitute_short"
    assert (await asked(service, "/tickets/t-1/call-outcome", {"outcome": "drop"}))["phase"] == "deciding"
    assert await service.hear(settled("resolved", "dropped")) == ["TicketEnded"]
    late = await asked(service, "/tickets/t-1/call-outcome", {"outcome": "cancel"}, 409)
    assert late["code"] == "ticket_closed"
    assert (await shown(service))["call"]["outcome"] == "drop"


async def test_approved_and_rejected(service: Inside) -> None:
    """What waits for a person is ended by one, and by no second one."""
    for ticket_id in ("t-1", "t-2"):
        await service.hear(raised("refund_failed", ticket_id))
    assert (await shown(service))["allowed"] == ["approve", "reject", "claim", "note"]
    assert (await asked(service, "/tickets/t-1/approve"))["phase"] == "resolved"
    rejected = await asked(service, "/tickets/t-2/reject", {"reason": "paid in the store"})
    assert (rejected["phase"], rejected["note"]) == ("rejected", "paid in the store")
    assert (await asked(service, "/tickets/t-2/approve", {}, 409))["code"] == "ticket_closed"


async def test_window_waits_for_a_ticket(service: Inside) -> None:
    """It passes while a ticket is open, and shuts when that has ended, also with restarts between; then no ticket."""
    await service.hear(aftersales.OpenWindow(order_id="o-1", account="a-1", store="s-1"))
    ticket_id = (await asked(service, "/tickets", INTERCEPT))["ticket_id"]
    await service.forget()
    assert await service.time_passes(3601) == []
    window = await service.ask("GET", "/orders/o-1/window", role="customer", account="a-1")
    assert window.json()["phase"] == "passed"
    await service.forget()
    assert await service.hear(settled("rejected", "not_in_delivery", ticket_id)) == ["TicketEnded", "WindowShut"]
    await service.forget()
    assert (await asked(service, "/tickets", INTERCEPT, 409))["code"] == "order_closed"


async def test_window_of_an_order_with_tickets_and_no_delivery_is_unknown(service: Inside) -> None:
    """There is a row that counts them, but no window yet; the delivery opens it."""
    await service.hear(raised("shortage"))
    assert (await service.ask("GET", "/orders/o-1/window")).json()["code"] == "window_unknown"
    await service.forget()
    await service.hear(aftersales.OpenWindow(order_id="o-1", account="a-1", store="s-1"))
    window = await service.ask("GET", "/orders/o-1/window", role="customer", account="a-1")
    assert window.json()["phase"] == "open"


async def test_tickets_in_pages(service: Inside) -> None:
    """All of them, the first that has to be decided first, ended ones last, each once; or of one order, or phase."""
    for number in range(5):
        await service.hear(raised("missing_goods", f"t-{number}"))
    await asked(service, "/tickets", INTERCEPT | {"order_id": "o-2"})
    await asked(service, "/tickets/t-3/approve")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": 2, "order": "o-1"} | ({"cursor": cursor} if cursor else {})
        page = (await service.ask("GET", "/tickets", role="customer_service", params=params)).json()
        seen += [ticket["ticket_id"] for ticket in page["items"]]
        cursor = page["next"]
    assert seen == ["t-0", "t-1", "t-2", "t-4", "t-3"]
    for query, count in (("", 6), ("?phase=open", 4), ("?phase=resolved&order=o-1", 1), ("?order=o-9", 0)):
        assert len((await service.ask("GET", f"/tickets{query}")).json()["items"]) == count


async def test_tickets_that_wait_are_measured(service: Inside) -> None:
    """How many, by kind and phase; those that have ended are in there no more."""
    await service.hear(raised("missing_goods", "t-1"))
    await service.hear(raised("missing_goods", "t-2"))
    await service.hear(raised("shortage", "t-3"))
    await asked(service, "/tickets/t-3/call-outcome", {"outcome": "drop"})
    await look(service.pool)

    def tickets(kind: str, phase: str) -> float | None:
        return REGISTRY.get_sample_value("larder_tickets", {"kind": kind, "phase": phase})

    assert (tickets("missing_goods", "open"), tickets("shortage", "deciding")) == (2, 1)
    assert (REGISTRY.get_sample_value("larder_oldest_seconds", {"phase": "ticket_deciding"}) or 0) < PATIENCE_S
    await service.hear(settled("resolved", "dropped", "t-3"))
    await look(service.pool)
    assert (tickets("missing_goods", "open"), tickets("shortage", "deciding")) == (2, None)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/tickets", {"order_id": "o-1", "kind": "return", "lines": []}, 422, "lines_needed"),
        ("/tickets", {"order_id": "o-1", "kind": "refund_only", "amount": 0}, 422, "invalid_request"),
        ("/tickets", {"order_id": "o-1", "kind": "shortage"}, 422, "invalid_request"),
        ("/tickets", {"order_id": "o 1", "kind": "intercept"}, 422, "invalid_request"),
        ("/tickets", {"order_id": "o-1", "kind": "intercept", "reason": "a\x00b"}, 422, "invalid_request"),
        ("/tickets", {"kind": "intercept"}, 422, "invalid_request"),
        ("/tickets/t-1/call-outcome", {"outcome": "hang_up"}, 422, "invalid_request"),
        ("/tickets/t-1/call-outcome", {"outcome": "substitute"}, 422, "invalid_request"),
        ("/tickets/t-1/call-outcome", SUBSTITUTE | {"outcome": "drop"}, 422, "invalid_request"),
        (
            "/tickets/t-1/call-outcome",
            {"outcome": "substitute", "substitutes": [{"spu": "plum", "quantity": 4, "instead_of": "apple"}]},
            422,
            "substitutes_do_not_fit",
        ),
        ("/tickets/t-1/approve", None, 409, "ticket_needs_no_approval"),
        ("/tickets/t-1/reject", {"reason": "no"}, 409, "ticket_needs_no_approval"),
        ("/tickets/t-1/reject", {"reason": ""}, 422, "invalid_request"),
        ("/tickets/t-1/reject", {}, 422, "invalid_request"),
        ("/tickets/t-9/call-outcome", {"outcome": "drop"}, 404, "ticket_unknown"),
        ("/tickets/t-9/approve", None, 404, "ticket_unknown"),
        ("/tickets/t-9/reject", {"reason": "no"}, 404, "ticket_unknown"),
    ],
)
async def test_nonsense_is_refused(service: Inside, path: str, body: Any, status: int, code: str) -> None:
    """A clear problem for each, and the ticket that there is stays as it was."""
    await service.hear(raised("shortage"))
    before = await shown(service)
    assert (await asked(service, path, body, status))["code"] == code
    assert await shown(service) == before


@pytest.mark.parametrize("role", ["customer", "picker", "courier", "storekeeper", "risk_analyst"])
async def test_tickets_are_customer_services(service: Inside, role: str) -> None:
    """Customers see their tickets on the order's page; everybody else has no business here."""
    await service.hear(raised("shortage"))
    for path in ("/tickets", "/tickets/t-1"):
        assert (await service.ask("GET", path, role=role, account="a-1")).status_code == 403
    for path, body in (("/tickets", INTERCEPT), ("/tickets/t-1/call-outcome", {"outcome": "drop"})):
        assert (await service.ask("POST", path, body, role=role, account="a-1")).status_code == 403
    assert (await shown(service))["phase"] == "open"
