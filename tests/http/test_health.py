"""What operators ask of a service, and what the service tells of its API."""

import httpx

from shared.http.app import make_app
from shared.http.problems import CODES
from tests.http.shop import SETTINGS, Shop, check_problem


async def test_a_service_that_runs_is_alive(shop: Shop) -> None:
    """Alive does not ask whether it is ready, nor for a token."""
    shop.why_not_ready = "no shard yet"
    assert (await shop.client.get("/healthz")).json() == {"service": "order", "status": "alive"}


async def test_ready_or_why_not(shop: Shop) -> None:
    """503 says the reason."""
    assert (await shop.client.get("/readyz")).status_code == 200
    shop.why_not_ready = "no shard yet"
    assert check_problem(await shop.client.get("/readyz"), 503, "not_ready")["detail"] == "no shard yet"


async def test_readiness_may_be_asked_of_a_coroutine() -> None:
    """A check that has to ask the database is awaited."""

    async def ready() -> str | None:
        return "the database is away"

    app = make_app("order", "Orders", "", routers=[], ready=ready, settings=SETTINGS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        assert check_problem(await client.get("/readyz"), 503, "not_ready")["detail"] == "the database is away"


async def test_metrics_are_for_prometheus(shop: Shop) -> None:
    """The figures of the process are there, in the format that was asked for."""
    answer = await shop.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "python_info" in answer.text
    answer = await shop.client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.text.endswith("# EOF\n")


async def test_the_api_describes_itself(shop: Shop) -> None:
    """Routes, headers, tokens, problems and their codes; FastAPI's own shape of an error is not among them."""
    api = (await shop.client.get("/openapi.json")).json()
    place = api["paths"]["/orders"]["post"]
    assert {parameter["name"].lower() for parameter in place["parameters"]} == {"idempotency-key", "prefer"}
    assert place["security"]
    assert set(place["responses"]) == {"202", "default"}
    assert "HTTPValidationError" not in api["components"]["schemas"]
    assert api["components"]["schemas"]["Problem"]["x-codes"].keys() == CODES.keys()


async def test_the_docs_page_needs_nothing_from_elsewhere(shop: Shop) -> None:
    """It is read without internet: no address in it leaves this service."""
    answer = await shop.client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text


async def test_the_codes_of_problems_are_explained_on_the_docs_page(shop: Shop) -> None:
    """A problem's type leads there."""
    assert (await shop.client.get("/nowhere")).json()["type"] == "/docs#no_such_route"
