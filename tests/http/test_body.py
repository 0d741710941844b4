"""What may come in: bounded, whole, readable. Nonsense of any kind is the client's error, never ours."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.http import body
from shared.http.body import BODY_MAX_BYTES, DRAIN_MAX_BYTES, _with_plus
from shared.http.problems import Problem
from shared.http.strict_json import DEPTH_MAX, VALUES_MAX, fingerprint, read_json
from tests.http.shop import BASKET, Shop, check_problem

JSON = {"Content-Type": "application/json"}


async def sent(shop: Shop, body: bytes | AsyncIterator[bytes], **headers: str) -> Any:
    return await shop.client.post("/orders", content=body, headers=JSON | shop.token() | headers)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"store": }',
        b"{'store': 1}",
        b'"\x00"',
        b"\xff\xfe",
        b'{"store": "\xe4"}',
        b"[NaN]",
        b"[-Infinity]",
        b" ",
    ],
)
async def test_what_is_no_json_is_400(shop: Shop, body: bytes) -> None:
    """Also bytes that are no UTF-8, and the numbers that only JavaScript knows."""
    check_problem(await sent(shop, body), 400, "malformed_json")
    assert shop.shard.sent == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"store": "a\\u0000b"}', "store"),
        (b'{"lines": [{"spu": "\\ud800"}]}', "lines.0.spu"),
        (b'{"a\\u0000b": 1}', ""),
        (b'{"lines": [{"quantity": %s}]}' % (b"9" * 400), "lines.0.quantity"),
        (b'{"lines": [{"quantity": %s}]}' % (b"9" * 6000), "lines.0.quantity"),
        (b'{"expected_total": 1e999}', "expected_total"),
        (b'{"expected_total": -9223372036854775809}', "expected_total"),
        (b'{"store": "s-1", "store": "s-2"}', ""),
        (b"[" * 5000 + b"]" * 5000, ""),
        (b"[" * 100_000 + b"]" * 100_000, ""),
        (b'{"a":' * 200 + b"1" + b"}" * 200, ""),
        (b"[" + b"0," * 400_000 + b"0]", ""),
    ],
)
async def test_json_that_breaks_things_further_in_is_422(shop: Shop, body: bytes, path: str) -> None:
    """NUL, half surrogate pairs, numbers beyond 64 bits, keys given twice, depth and numbers beyond the bounds."""
    assert check_problem(await sent(shop, body), 422, "invalid_request")["errors"][0]["path"] == path


@pytest.mark.parametrize(
    "address", ["/orders?cursor=%00", "/orders?cursor=%ED%A0%80", "/orders?cursor=%FF", "/orders/a%00b/1", "/%00"]
)
async def test_addresses_are_text_that_a_database_takes(shop: Shop, address: str) -> None:
    """NUL and what is no UTF-8 are refused in path and query as well."""
    check_problem(await shop.client.get(address, headers=shop.token()), 422, "invalid_request")


async def test_a_body_over_1_mb_is_413(shop: Shop) -> None:
    """By its announced length, at the first byte too many."""
    fits = json.dumps(BASKET).encode().ljust(BODY_MAX_BYTES)
    assert (await sent(shop, fits)).status_code == 202
    check_problem(await sent(shop, fits + b" "), 413, "body_too_large")


async def test_a_body_that_does_not_say_its_length_is_bounded_too(shop: Shop) -> None:
    """Chunks are counted as they come."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 100_000

    check_problem(await sent(shop, chunks()), 413, "body_too_large")


async def test_a_body_in_chunks_is_read_whole(shop: Shop) -> None:
    """However it is cut, it is the same request."""

    async def chunks() -> AsyncIterator[bytes]:
        for byte in json.dumps(BASKET).encode():
            yield bytes([byte])

    assert (await sent(shop, chunks())).status_code == 202


async def test_nobody_reads_an_endless_body(shop: Shop) -> None:
    """What is thrown away of a body too large is bounded as well."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1_000_000
            yield b" " * 1_000_000

    check_problem(await sent(shop, endless()), 413, "body_too_large")
    assert read <= DRAIN_MAX_BYTES + 2_000_000


async def test_other_media_types_are_refused_clearly(shop: Shop) -> None:
    """A form is no JSON (415); no media type at all is taken as JSON."""
    body = json.dumps(BASKET).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    check_problem(await shop.client.post("/orders", content=body, headers=shop.token() | form), 415, "not_json")
    assert (await shop.client.post("/orders", content=body, headers=shop.token())).status_code == 202


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, deflate", "GZIP", "x"])
async def test_an_encoded_body_is_415(shop: Shop, coding: str) -> None:
    """It says so, instead of a riddle about UTF-8; a body as it is may say that it is."""
    packed = gzip.compress(json.dumps(BASKET).encode())
    for headers in ({"Content-Encoding": coding}, {"Transfer-Encoding": f"{coding}, chunked"}):
        problem = check_problem(await sent(shop, packed, **headers), 415, "body_encoded")
        assert coding.split()[-1].lower() in problem["detail"]
    plain = json.dumps(BASKET).encode()
    assert (await sent(shop, plain, **{"Content-Encoding": "Identity"})).status_code == 202
    assert (await shop.client.get("/orders", headers=shop.token() | {"Content-Encoding": coding})).status_code == 200


async def test_all_bodies_together_are_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While large ones are under way, one more of them is 503; who sends little, or comes later, is not concerned."""
    monkeypatch.setattr(body, "LARGE_MAX_BYTES", 300_000)
    counted, go_on = asyncio.Event(), asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        yield b" " * 300_000
        counted.set()
        await go_on.wait()
        yield json.dumps(BASKET).encode()

    large = json.dumps(BASKET).encode().rjust(200_000)
    first = asyncio.create_task(sent(shop, held()))
    await counted.wait()
    answer = await sent(shop, large)
    check_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"]
    assert answer.headers["connection"] == "close"
    assert (await sent(shop, json.dumps(BASKET).encode())).status_code == 202
    go_on.set()
    assert (await first).status_code == 202
    assert (await sent(shop, large)).status_code == 202


PLUS_TWO = "2026-01-01T00:00:00+02:00"


@pytest.mark.parametrize(
    ("query", "understood"),
    [
        ("since=2026-01-01T00:00:00+02:00", [PLUS_TWO]),
        ("since=2026-01-01T00:00:00%2B02:00", [PLUS_TWO]),
        ("since=2026-01-01T00:00:00%2002:00", [PLUS_TWO]),
        ("since=2026-01-01T00%3A00%3A00+02%3A00", [PLUS_TWO]),
        ("since=2026-01-01T00:00:00+0200&until=2026-01-01t00:00:00.0+02:00", [PLUS_TWO, PLUS_TWO]),
        ("since=2026-01-01+00:00:00+02:00", [PLUS_TWO]),
        ("since=2026-01-01T00:00:00-02:00", ["2026-01-01T00:00:00-02:00"]),
        ("since=2026-01-01T00:00:00Z", ["2026-01-01T00:00:00+00:00"]),
    ],
)
async def test_a_plus_in_an_instant_is_understood(shop: Shop, query: str, understood: list[str]) -> None:
    """Whoever forgets that `+` is written %2B in a query means the same instant."""
    answer = await shop.client.get(f"/since?{query}")
    assert (answer.status_code, answer.json()) == (200, understood)


@pytest.mark.parametrize(
    "since", ["2026-01-01+02:00", "2026-01-01T00:00:00", "2026-01-01T00:00:00+", "+2026-01-01T00:00Z"]
)
async def test_a_plus_makes_no_instant_of_anything_else(shop: Shop, since: str) -> None:
    """A time without a zone stays one."""
    check_problem(await shop.client.get(f"/since?since={since}"), 422, "invalid_request")


@pytest.mark.parametrize(
    "query", [b"a=2026-01-01T00:", b"=2026-01-01T00:00:00" * 1_600, b"=2026-01-01T00:00:00+" * 1_600]
)
def test_a_query_is_read_in_no_time(query: bytes) -> None:
    """No query, however made, is looked at over and over."""
    started = time.process_time()
    _with_plus(query + b"+")
    assert time.process_time() - started < 0.1


async def test_a_missing_body_is_422(shop: Shop) -> None:
    """No body is JSON of a wrong shape, not malformed JSON."""
    check_problem(await shop.client.post("/orders", headers=shop.token()), 422, "invalid_request")


async def test_a_client_that_leaves_gets_no_answer(shop: Shop) -> None:
    """Half a body is never acted upon."""
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)

    headers = [(b"content-length", b"10"), (b"authorization", shop.token()["Authorization"].encode())]
    scope = {"type": "http", "method": "POST", "path": "/orders", "query_string": b"", "headers": headers}
    await shop.app(scope, receive, send)
    assert told == []
    assert shop.shard.sent == []


ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(2**63), 2**63, 1e308])
    | st.floats()
    | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)
ANY_BASKET = st.fixed_dictionaries(
    {},
    optional={
        "store": ANY_JSON | st.just("s-1"),
        "lines": ANY_JSON
        | st.lists(
            st.fixed_dictionaries({}, optional={"spu": ANY_JSON | st.just("a"), "quantity": ANY_JSON}), max_size=3
        ),
        "expected_total": ANY_JSON,
    },
)
NOT_FRESH = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@NOT_FRESH
@given(ANY_BASKET | ANY_JSON)
@example({"store": "s-1", "lines": [{"spu": "a", "quantity": 1}]})
async def test_any_json_is_taken_or_refused(shop: Shop, value: Any) -> None:
    """Whatever JSON comes, the answer is 202 or a client's error."""
    answer = await sent(shop, json.dumps(value).encode())
    assert answer.status_code in (202, 400, 422), (value, answer.text)
    assert "code" in answer.json() or answer.status_code == 202


@NOT_FRESH
@given(st.binary(max_size=200) | ANY_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))
async def test_any_bytes_are_refused(shop: Shop, body: bytes) -> None:
    """Garbage is 400 or 422, in a body and in an address."""
    assert (await sent(shop, body)).status_code in (400, 422)
    address = "/orders?cursor=" + "".join(f"%{byte:02x}" for byte in body)
    assert (await shop.client.get(address, headers=shop.token())).status_code in (200, 422)


@NOT_FRESH
@given(ANY_JSON)
async def test_what_passes_comes_back_unchanged(shop: Shop, value: Any) -> None:
    """The door changes nothing of what it lets through."""
    answer = await shop.client.put("/anything/x", content=json.dumps({"value": value}).encode())
    assert answer.status_code in (200, 400, 422)
    if answer.status_code == 200:
        assert answer.json() == {"value": value}


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9), min_size=2, max_size=5), st.randoms())
def test_a_fingerprint_knows_no_order_of_keys(value: dict[str, int], chance: Any) -> None:
    """The same body, written another way, is the same request."""
    keys = list(value)
    chance.shuffle(keys)
    assert fingerprint({key: value[key] for key in keys}) == fingerprint(value)
    assert fingerprint(value | {keys[0]: 10}) != fingerprint(value)


def test_the_bounds_are_where_they_say() -> None:
    """As deep and as many as the bounds allow passes, one more does not."""
    assert read_json(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
    many = b"[" + b",".join([b"0"] * (VALUES_MAX - 1)) + b"]"
    assert len(read_json(many)) == VALUES_MAX - 1
    for too_much in (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), many[:-1] + b",0]"):
        with pytest.raises(Problem):
            read_json(too_much)
    assert read_json(b"[9223372036854775807, -9223372036854775808]") == [2**63 - 1, -(2**63)]
