"""What the six OpenAPI descriptions tell of answers. That the answers are so: tests/services/test_openapi.py."""

from __future__ import annotations

import pytest

from shared.http.app import make_app
from tests.http.routes import SETTINGS, routers


@pytest.mark.parametrize("service", routers())
def test_every_good_answer_is_told(service: str) -> None:
    """With its media type, and JSON with its schema; one without a body is 204 and nothing else."""
    api = make_app(service, service, "", routers=routers()[service], ready=lambda: None, settings=SETTINGS).openapi()
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            where = f"{service}: {method} {path}"
            for status, answer in operation["responses"].items():
                told = answer.get("content", {})
                assert bool(told) == (status != "204"), where
                assert all(media.get("schema") for kind, media in told.items() if "json" in kind), where
            assert set(operation["responses"]) > {"default"}, where
