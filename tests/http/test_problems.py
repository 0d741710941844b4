"""Errors are problems with stable codes, and tell nothing of the inside."""

import logging

import pytest

from shared.http.problems import CODES, Problem, meaning_of, refusal, register
from tests.http.shop import Shop, check_problem


async def test_an_unknown_address_is_a_problem(shop: Shop) -> None:
    """404 has a code like every other error."""
    check_problem(await shop.client.get("/nowhere"), 404, "no_such_route")


async def test_a_wrong_method_names_the_right_ones(shop: Shop) -> None:
    """405 carries Allow, as RFC 9110 wants."""
    answer = await shop.client.delete("/orders")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


async def test_wrong_fields_are_named(shop: Shop) -> None:
    """422 says which fields are wrong, and does not echo what was sent."""
    basket = {"store": "s-1", "lines": [{"spu": "apple", "quantity": 0}, {"spu": "geheim", "quantity": "x"}]}
    answer = await shop.client.post("/orders", json=basket, headers=shop.token())
    problem = check_problem(answer, 422, "invalid_request")
    assert [(e["in"], e["path"]) for e in problem["errors"]] == [
        ("body", "lines.0.quantity"),
        ("body", "lines.1.quantity"),
    ]
    assert "geheim" not in answer.text


@pytest.mark.parametrize("quantity", [0, -1, 1.5, 10**9, 10**400, "2", True, None, [], {}])
async def test_a_quantity_is_a_positive_integer(shop: Shop, quantity: object) -> None:
    """Nothing else than a small positive integer passes, and nothing is sent for it."""
    basket = {"store": "s-1", "lines": [{"spu": "apple", "quantity": quantity}]}
    check_problem(await shop.client.post("/orders", json=basket, headers=shop.token()), 422, "invalid_request")
    assert shop.shard.sent == []


@pytest.mark.parametrize("lines", [0, 201])
async def test_an_order_has_1_to_200_lines(shop: Shop, lines: int) -> None:
    """No lines and too many lines are wrong shapes."""
    basket = {"store": "s-1", "lines": [{"spu": f"g-{n}", "quantity": 1} for n in range(lines)]}
    check_problem(await shop.client.post("/orders", json=basket, headers=shop.token()), 422, "invalid_request")


async def test_long_lists_of_errors_are_cut(shop: Shop) -> None:
    """200 wrong lines do not make an answer of 200 errors."""
    basket = {"store": "s-1", "lines": [{"spu": "apple", "quantity": 0}] * 200}
    answer = await shop.client.post("/orders", json=basket, headers=shop.token())
    assert len(check_problem(answer, 422, "invalid_request")["errors"]) == 20


async def test_a_surprise_is_logged_and_not_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """500 tells a trace id; the log has the story under the same id."""
    with caplog.at_level(logging.ERROR):
        answer = await shop.client.get("/broken")
    problem = check_problem(answer, 500, "internal_error")
    assert "swordfish" not in answer.text
    assert "swordfish" in caplog.text
    assert problem["trace_id"] in caplog.text


@pytest.mark.parametrize("how", ["database", "closed", "torn", "slow"])
async def test_a_part_that_is_away_is_503(shop: Shop, how: str) -> None:
    """A lost connection is nobody's mistake: come back later."""
    answer = await shop.client.get(f"/broken?how={how}")
    check_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_misused_driver_is_our_mistake(shop: Shop) -> None:
    """Only lost connections are 503; a wrong call must not hide behind it."""
    check_problem(await shop.client.get("/broken?how=misused"), 500, "internal_error")


@pytest.mark.parametrize("how", ["late", "value"])
async def test_a_value_that_only_a_later_step_refuses_is_still_422(shop: Shop, how: str) -> None:
    """A contract or the database refuses what a route let through: the client is told, not us."""
    check_problem(await shop.client.get(f"/broken?how={how}"), 422, "invalid_request")


def test_the_status_of_a_refusal_follows_its_code() -> None:
    """Most refusals come at the wrong time; what is unknown is 404, a wrong value 422, the rest stands in the table."""
    assert meaning_of("order_not_payable")[0] == 409
    assert meaning_of("parcel_unknown")[0] == 404
    assert meaning_of("coupon_invalid")[0] == 422
    assert meaning_of("overloaded")[0] == 503
    assert refusal("order_unknown").title == "Order unknown"


def test_a_code_means_one_thing() -> None:
    """Registering twice is fine, redefining is not."""
    before = dict(CODES)
    try:
        register({"total_differs": (409, "The total is another one")})
        register({"total_differs": (409, "The total is another one")})
        assert refusal("total_differs").title == "The total is another one"
        with pytest.raises(ValueError, match="already means"):
            register({"total_differs": (422, "Wrong")})
    finally:
        CODES.clear()
        CODES.update(before)


def test_a_problem_survives_any_character() -> None:
    """Half a surrogate pair in a detail does not break the answer."""
    response = Problem(409, "odd", "half \ud800 a pair", about="\udfff").response()
    assert response.status_code == 409
    assert bytes(response.body).isascii()


async def test_a_callers_trace_goes_on(shop: Shop) -> None:
    """A valid traceparent is continued into problems and commands; a broken one starts a new trace."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    said = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    assert (await shop.client.get("/nowhere", headers=said)).json()["trace_id"] == trace
    await shop.client.post(
        "/orders", json={"store": "s-1", "lines": [{"spu": "a", "quantity": 1}]}, headers=said | shop.token()
    )
    assert shop.shard.sent[0].traceparent.startswith(f"00-{trace}-".encode())
    assert b"00f067aa0ba902b7" not in shop.shard.sent[0].traceparent
    for broken in (
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"ff-{trace}-00f067aa0ba902b7-01",
        "x",
        f"00-{trace}-00f067aa0ba902b7-01-more",
    ):
        answer = await shop.client.get("/nowhere", headers={"traceparent": broken})
        assert answer.json()["trace_id"] not in ("", trace, "0" * 32)
