"""Who may ask what: no good token 401, a wrong role 403, another's order 404."""

import base64
import json
import time

import jwt
import pytest

from shared import tokens
from shared.http.auth import Caller, Role
from shared.settings import Settings
from tests.http.shop import BASKET, SETTINGS, Shop, check_problem


async def test_without_a_token_nobody_gets_in(shop: Shop) -> None:
    """401 tells the client how to ask (RFC 6750)."""
    answer = await shop.client.post("/orders", json=BASKET)
    check_problem(answer, 401, "no_token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="larder"'


async def test_an_expired_token_is_told_apart(shop: Shop) -> None:
    """A client knows that it needs a fresh one."""
    answer = await shop.client.post("/orders", json=BASKET, headers=shop.token(ttl_s=-60))
    check_problem(answer, 401, "expired_token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def _part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


GOOD = tokens.create(SETTINGS, "admin")
HEAD, BODY, SIGNATURE = GOOD.split(".")
HUGE = b'{"alg": ' + b"9" * 5000 + b"}"
FORGED = {
    "nonsense": "Bearer nonsense",
    "another scheme": "Basic YTpi",
    "no token behind Bearer": "Bearer",
    "another's secret": "Bearer "
    + tokens.create(Settings(token_secret="another secret, also long enough for HS256"), "admin"),
    "changed claims": f"Bearer {HEAD}.{_part({'role': 'admin', 'sub': 'x', 'exp': 9_999_999_999})}.{SIGNATURE}",
    "no signature": f"Bearer {_part({'alg': 'none', 'typ': 'JWT'})}.{BODY}.",
    "cut off": f"Bearer {GOOD[:-5]}",
    "deep header": f"Bearer {_part(b'[' * 20_000)}.{BODY}.{SIGNATURE}",
    "huge number": f"Bearer {_part(HUGE)}.{BODY}.{SIGNATURE}",
    "unknown role": "Bearer " + jwt.encode({"role": "king", "sub": "x", "exp": 9_999_999_999}, SETTINGS.secret()),
    "no role": "Bearer " + jwt.encode({"sub": "x", "exp": 9_999_999_999}, SETTINGS.secret()),
    "an account that is no text": "Bearer "
    + jwt.encode({"role": "customer", "account": 5, "sub": "x", "exp": 9_999_999_999}, SETTINGS.secret()),
    "a customer without account": "Bearer "
    + jwt.encode({"role": "customer", "sub": "x", "exp": 9_999_999_999}, SETTINGS.secret()),
    **{
        f"an account of a {role} that cannot order: {account[:9]!a}": "Bearer "
        + jwt.encode({"role": role, "account": account, "sub": "x", "exp": 9_999_999_999}, SETTINGS.secret())
        for role in ("customer", "admin")
        for account in (" ", "a-1 ", "a\n1", "\u200b", "\u3164", "a" * 129)
    },
    **{
        f"a name of a {role} that is none: {name!a:.20}": "Bearer "
        + jwt.encode(
            {"role": role, "account": "a-1", "name": name, "sub": "x", "exp": 9_999_999_999}, SETTINGS.secret()
        )
        for role, names in (
            ("customer", ("maria", "")),
            ("admin", ("", "a b", "a\n", "a" * 65, 5, True, ["a"], {"a": 1})),
        )
        for name in names
    },
    "never expires": "Bearer " + jwt.encode({"role": "admin", "sub": "x"}, SETTINGS.secret()),
    "ends on no day": "Bearer " + jwt.encode({"role": "admin", "sub": "x", "exp": 10**20}, SETTINGS.secret()),
    "other characters": "Bearer ÄÖÜ.äöü.ß",
}


async def test_a_token_of_a_clock_ahead_is_told_apart(shop: Shop) -> None:
    """Whoever reads the error looks at clocks, and not for a forger."""
    claims = {"sub": "a-1", "account": "a-1", "role": "customer", "iat": time.time() + 7200, "exp": time.time() + 9000}
    token = jwt.encode(claims, SETTINGS.secret(), algorithm=tokens.ALGORITHM)
    answer = await shop.client.post("/orders", json=BASKET, headers={"Authorization": f"Bearer {token}"})
    check_problem(answer, 401, "bad_token")
    assert "clock" in answer.json()["detail"]


@pytest.mark.parametrize("forgery", FORGED)
async def test_a_forged_token_is_401(shop: Shop, forgery: str) -> None:
    """Whatever is wrong with it, it is the same 401, never an error of ours."""
    headers = {b"Authorization": FORGED[forgery].encode("latin-1")}
    check_problem(await shop.client.get("/orders", headers=headers), 401, "bad_token")


async def test_the_token_is_looked_at_before_the_fields(shop: Shop) -> None:
    """Strangers learn nothing about shapes."""
    check_problem(await shop.client.post("/orders", json={}), 401, "no_token")


async def test_roles_are_let_in_by_name(shop: Shop) -> None:
    """A wrong role is 403 and told which would do; admin may do all."""
    problem = check_problem(
        await shop.client.post("/orders", json=BASKET, headers=shop.token("picker")), 403, "wrong_role"
    )
    assert "customer" in problem["detail"]
    assert (await shop.client.post("/orders", json=BASKET, headers=shop.token("admin"))).status_code == 202


async def test_a_customer_sees_only_its_own(shop: Shop) -> None:
    """Another's order looks like none; who works here sees all."""
    assert (await shop.client.get("/orders/a-1/1", headers=shop.token())).status_code == 200
    check_problem(await shop.client.get("/orders/a-2/1", headers=shop.token()), 404, "order_unknown")
    for role in ("customer_service", "admin"):
        assert (await shop.client.get("/orders/a-2/1", headers=shop.token(role))).status_code == 200


async def test_a_store_worker_works_in_the_store_of_the_token(shop: Shop) -> None:
    """A store in the token binds; without one the worker works in all stores."""
    there = shop.token("picker", store="s-1")
    assert (await shop.client.post("/stores/s-1/pick", headers=there)).json() == {"actor": "picker:"}
    named = shop.token("picker", store="s-1", name="jo")
    assert (await shop.client.post("/stores/s-1/pick", headers=named)).json() == {"actor": "picker:jo"}
    check_problem(await shop.client.post("/stores/s-2/pick", headers=there), 403, "wrong_store")
    for everywhere in (shop.token("picker"), shop.token("admin", store="s-1")):
        assert (await shop.client.post("/stores/s-2/pick", headers=everywhere)).status_code == 200


def test_a_caller_is_named_in_books_and_keys() -> None:
    """The actor of a customer is the account, of who works here the name; so is the scope of its idempotency keys."""
    customer = Caller(Role.CUSTOMER, "a-1", None, "a-1")
    assert (customer.actor, customer.identity) == ("customer:a-1", "customer:a-1")
    nameless = Caller(Role.PICKER, None, "s-1", "picker")
    assert (nameless.actor, nameless.identity) == ("picker:", "picker:picker")
    for account in (None, "a-1"):
        jo = Caller(Role.PICKER, account, "s-1", "jo", "jo")
        assert (jo.actor, jo.identity) == ("picker:jo", "picker:jo")
