"""Tokens: only ours, only in time, only for roles that exist."""

import base64
import json
import time
from pathlib import Path

import jwt
import pytest

from shared import tokens
from shared.settings import Settings

SECRET = "a secret of more than 32 characters"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a secret."""
    return Settings(home=tmp_path, token_secret=SECRET)


def test_a_token_says_who_asks(settings: Settings) -> None:
    """What was put in must come out."""
    token = tokens.create(settings, "customer", account="a-1")
    assert tokens.read(settings, token) == tokens.Claims("customer", "a-1", account="a-1")
    token = tokens.create(settings, "picker", store="s-1")
    assert tokens.read(settings, token) == tokens.Claims("picker", "picker", store="s-1")
    token = tokens.create(settings, "picker", store="s-1", name="jo")
    assert tokens.read(settings, token) == tokens.Claims("picker", "jo", store="s-1", name="jo")


def test_roles_that_do_not_exist_and_customers_without_account_are_refused(settings: Settings) -> None:
    """A token that no service would accept must not be made."""
    with pytest.raises(tokens.TokenError, match="customer, picker, courier"):
        tokens.create(settings, "king")
    with pytest.raises(tokens.TokenError, match="account"):
        tokens.create(settings, "customer")


def test_an_expired_token_is_refused(settings: Settings) -> None:
    """A token must not be good for a moment longer than it says."""
    with pytest.raises(tokens.TokenError, match="over"):
        tokens.read(settings, tokens.create(settings, "admin", ttl_s=-1))


def test_a_token_from_the_future_is_said_to_be_a_matter_of_clocks(settings: Settings) -> None:
    """It is good, and a service whose clock is hours behind must not call it damaged."""
    claims = {"sub": "x", "role": "admin", "iat": time.time() + 7200, "exp": time.time() + 9000}
    with pytest.raises(tokens.TokenError, match="clock"):
        tokens.read(settings, jwt.encode(claims, SECRET, algorithm=tokens.ALGORITHM))


def test_a_forged_token_is_refused(settings: Settings) -> None:
    """Another secret, no signature at all, a changed claim: none may pass."""
    good = tokens.create(settings, "customer", account="a-1")
    head, _, signature = good.split(".")
    other = Settings(home=settings.home, token_secret="another secret of more than 32 characters")
    unsigned = jwt.encode({"sub": "x", "role": "admin", "exp": 2**40}, None, algorithm="none")
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "x", "role": "admin", "exp": 2**40}).encode()).rstrip(b"=")
    for forged in (tokens.create(other, "admin"), unsigned, f"{head}.{claims.decode()}.{signature}", "", "a.b.c", "\0"):
        with pytest.raises(tokens.TokenError):
            tokens.read(settings, forged)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "x", "role": "king", "exp": 2**40},
        {"sub": "x", "role": ["admin"], "exp": 2**40},
        {"sub": "x", "role": "customer", "exp": 2**40},
        {"sub": "x", "role": "customer", "account": 7, "exp": 2**40},
        {"sub": "x", "role": "admin"},
        {"role": "admin", "exp": 2**40},
        {"sub": "x", "role": "customer", "account": "a-1", "name": "maria", "exp": 2**40},
        {"sub": "x", "role": "admin", "name": "Maria M.", "exp": 2**40},
    ],
)
def test_a_signed_token_without_sense_is_refused(settings: Settings, claims: dict[str, object]) -> None:
    """Whoever signs with our secret by other means must still name a known role, an end, an account and a person."""
    with pytest.raises(tokens.TokenError):
        tokens.read(settings, jwt.encode(claims, SECRET, algorithm="HS256"))


@pytest.mark.parametrize("ttl_s", [float("nan"), float("inf"), float("-inf"), 1e12, tokens.TTL_MAX_S + 1])
def test_a_life_that_no_calendar_holds_is_refused(settings: Settings, ttl_s: float) -> None:
    """A token must end, and in a time that people mean."""
    with pytest.raises(tokens.TokenError, match="at most 31,622,400 seconds"):
        tokens.create(settings, "admin", ttl_s=ttl_s)
    assert tokens.read(settings, tokens.create(settings, "admin", ttl_s=tokens.TTL_MAX_S)).role == "admin"


@pytest.mark.parametrize("account", [" ", " a", "a\t", "a\nb", "\x1b[2J", "a\u202eb", "a\u200bb", "a" * 129, "\ud800"])
def test_an_account_that_no_order_takes_gets_no_token(settings: Settings, account: str) -> None:
    """One rule for both, so that whoever has a token can order."""
    with pytest.raises(tokens.TokenError, match="none that can order") as refused:
        tokens.create(settings, "customer", account=account)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("account", ["a-1", "auth0|123", "bWFyaWE=", "Zoë Müller", "日本", "a" * 128])
def test_accounts_of_other_systems_get_tokens(settings: Settings, account: str) -> None:
    """Whatever can be printed may be somebody's name elsewhere."""
    assert tokens.read(settings, tokens.create(settings, "customer", account=account)).account == account


@pytest.mark.parametrize("store", ["s/1", " ", "a" * 65, "\x1b[2J", "-1"])
def test_a_store_that_is_no_name_gets_no_token(settings: Settings, store: str) -> None:
    """There can be no such store."""
    with pytest.raises(tokens.TokenError, match="is no name"):
        tokens.create(settings, "picker", store=store)


@pytest.mark.parametrize("name", ["", " ", "Maria M.", "jo\n", "a" * 65, "\x1b[2J", "-jo", "jo~1", "\ud800"])
def test_a_person_without_a_proper_name_gets_no_token(settings: Settings, name: str) -> None:
    """It stands in timelines and documents for good, behind a colon; the sentence can be shown anywhere."""
    with pytest.raises(tokens.TokenError, match=r"the person .* is no name") as refused:
        tokens.create(settings, "picker", name=name)
    assert str(refused.value).isprintable()


def test_a_customer_is_nobody_who_works_here(settings: Settings) -> None:
    """Its account says who it is; a second name could pass for another's."""
    with pytest.raises(tokens.TokenError, match="names its account, and no person"):
        tokens.create(settings, "customer", account="a-1", name="maria")
