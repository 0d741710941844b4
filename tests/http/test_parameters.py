"""What stands in addresses and headers, of every route of all services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from tests.http.routes import routes

MAY_BE_BLANK = {
    "cursor": "refused with a code of its own, `bad_cursor`",
    "Last-Event-ID": "a reader's own memory: what is none is no reason to turn it away",
    "Prefer": "a wish that nobody understands is none",
}
PARAMETERS_AT_LEAST = 100
"""Fewer, and the scan has lost sight of some."""


def parameters(dependant: Dependant) -> Iterator[ModelField]:
    """All of a route, also those of what it depends on."""
    yield from (*dependant.path_params, *dependant.query_params, *dependant.header_params)
    for other in dependant.dependencies:
        yield from parameters(other)


def test_parameters_show_something() -> None:
    """An id, a filter, an Idempotency-Key of blanks alone is refused, wherever one may be given."""
    seen = 0
    for service, route in routes():
        for parameter in parameters(route.dependant):
            seen += 1
            for blank in (" ", "\t", "\u200b", "\u00a0"):
                _, errors = parameter.validate(blank, {}, loc=("it", parameter.alias))
                where = f"{service}: {route.path}: {parameter.alias} {blank!a}"
                assert errors or parameter.alias in MAY_BE_BLANK, where
    assert seen >= PARAMETERS_AT_LEAST


@pytest.mark.parametrize("value", ["a/b", "a\nb", "a\n", "\r\n", "..", "?#%", "a//b/", "\u2028"])
def test_any_text_is_an_address(value: str) -> None:
    """A route of any text takes it to the end, whatever stands in it."""
    found = [
        match["value"]
        for _, route in routes()
        if "{value:" in route.path and (match := _matched(route, f"/blocklist/device/{value}"))
    ]
    assert found == [value, value]  # PUT and DELETE


def _matched(route: APIRoute, path: str) -> dict[str, str] | None:
    match = route.path_regex.match(path)
    return match.groupdict() if match else None
