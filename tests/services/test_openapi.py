"""What each service tells of its API is so: requests made from its OpenAPI by schemathesis, ordinary and hostile ones.

For every operation the bounds of every field, one after the other, and EXAMPLES random requests more; the same ones in
every run. Half of them name what the service knows (`seeded`), and they are asked by all roles. Left out: the order's
stream, whose answer has no end. Not asked: whether each valid request is taken (`positive_data_acceptance`), since
most bodies have rules that no schema tells.

    LARDER_TEST_EXAMPLES=100 python -m pytest tests/services/test_openapi.py      looks longer
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any
from zlib import crc32

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from shared.http.app import make_app
from shared.http.auth import Role
from tests.http.routes import SETTINGS, routers
from tests.parts import RealParts
from tests.services.inside import Inside
from tests.services.seeded import KNOWN, seeded

pytestmark = pytest.mark.parts

EXAMPLES = int(os.environ.get("LARDER_TEST_EXAMPLES", "5"))
CONFIG = {
    "dictionaries": {name: {"values": [value]} for name, value in KNOWN.items()},
    "parameters": {name: {"dictionary": name, "probability": 0.5} for name in KNOWN},
    "phases": {"coverage": {"unexpected-methods": ["patch"]}},
    "generation": {"with-security-parameters": False},  # the token is ours
}
ASKING = (*Role, *[Role.ADMIN] * len(Role))
"""Who asks: admin, who may do everything, in half of the requests."""

load_all_checks()
CHECKED: list[Any] = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "content_type_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    )
]


def described(service: str) -> schemathesis.BaseSchema:
    """What the service tells of itself. The two headers of all commands are tried with one of them, POST /orders."""
    app = make_app(service, service, "", routers=routers()[service], ready=lambda: None, settings=SETTINGS)
    api = app.openapi()
    for path, operations in api["paths"].items():
        for operation in operations.values():
            of_its_own = [p for p in operation.get("parameters", ()) if p["in"] != "header" or path == "/orders"]
            operation["parameters"] = of_its_own
    schema = schemathesis.openapi.from_dict(api, config=SchemathesisConfig.from_dict(CONFIG))
    return schema.exclude(path_regex="/stream$")


@pytest.fixture(scope="module")
async def services(parts: RealParts) -> AsyncIterator[Mapping[str, Inside]]:
    """All six, with something in them."""
    async with seeded(parts.fresh_database) as found:
        yield found


@schemathesis.pytest.parametrize(**{service: described(service) for service in routers()})
@settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
async def test_the_api_is_as_told(case: schemathesis.Case, services: Mapping[str, Inside]) -> None:
    """No answer is a server error, each has a status, a media type and a shape that are told, and what the description
    forbids is refused."""
    sent = case.as_transport_kwargs("http://inside")
    request = requests.Request(
        **{name: sent.get(name) for name in ("method", "url", "headers", "params", "cookies", "json", "data")}
    ).prepare()
    # By what is asked, not by chance: hypothesis asks again what failed, and must then see it fail.
    role = ASKING[crc32(f"{request.method} {request.url} {request.body!r}".encode()) % len(ASKING)]
    answer = await services[case.operation.schema.raw_schema["info"]["title"]].ask(
        str(request.method),
        str(request.url),
        role=role,
        account=KNOWN["account"] if role is Role.CUSTOMER else None,
        headers={k: v.encode("latin-1") if isinstance(v, str) else v for k, v in request.headers.items()},
        content=request.body,
    )
    case.validate_response(answer, checks=CHECKED)
    # The description's `default` is a problem, and a problem is no success.
    assert str(answer.status_code) in case.operation.definition.raw["responses"] or answer.is_error, answer
