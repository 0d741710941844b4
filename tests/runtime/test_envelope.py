"""The envelope on the wire: what a shard sends is read by its places, and everything else by its names, alike."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime import envelope
from shared.runtime.envelope import Delivery, Headers, Payload, Wire, read, wires

TIME = "2026-11-22T19:00:00+00:00"
NAMES = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "link", "ce_actor", "extra")
VALUES = (
    b"",
    b"1",
    b"7",
    b"-1",
    b"+3",
    b"x",
    b"toy/0",
    b"sky/1",
    b"order/0",
    b"risk/12",
    b"\xff",
    b"a\x00b",
    b"9" * 400,
)


def sent(*payloads: Payload, source: str = "order/0") -> list[Wire]:
    """The records of some messages, numbered from 5 on."""
    return list(wires(source, "inventory.commands", 3, TIME, 5, payloads))


def by_name(headers: Headers) -> Delivery:
    """The same envelope, read as any other is: one header more, which nobody knows."""
    return read("t", 0, 1, b"k", b"v", [*headers, ("nobody_knows", b"")])


def attributes(d: Delivery) -> tuple[object, ...]:
    """What was read, without the headers themselves."""
    return tuple(getattr(d, name) for name in d.__struct_fields__ if name != "headers")


def test_what_a_shard_sends_is_read_back() -> None:
    """A CloudEvent with its link's number; messages of one batch count up."""
    first, second = sent((b"s-1", "HoldStock", b"o-1", b"{}", b""), (b"s-2", "HoldStock", b"o-2", b"[]", b"00-trace"))
    d = read("inventory.commands", 3, 9, *first)
    assert (d.type, d.source, d.subject, d.link, d.fault) == ("HoldStock", "order/0", "o-1", 5, "")
    assert (d.id, d.key, d.value) == ("order/0:inventory.commands/3:5", b"s-1", b"{}")
    assert dict(first[2])["ce_time"].decode() == TIME
    assert [name for name, _ in second[2]][-1] == "traceparent"
    d = read("inventory.commands", 3, 10, *second)
    assert (d.link, d.traceparent, d.id) == (6, b"00-trace", "order/0:inventory.commands/3:6")


def test_the_quick_reading_is_taken() -> None:
    """A sender that was heard before is read by places; else the tests here would compare a thing with itself."""
    ((key, value, headers),) = sent((b"k", "HoldStock", b"o-1", b"{}", b""))
    read("t", 0, 1, key, value, headers)
    assert envelope._from_a_shard("t", 0, 1, key, value, headers) is not None
    assert envelope._from_a_shard("t", 0, 1, key, value, [*headers, ("extra", b"")]) is None


def test_headers_in_any_other_order_are_read_by_name() -> None:
    """Places mean nothing unless every name is where a shard writes it."""
    ((_, _, headers),) = sent((b"k", "HoldStock", b"o-1", b"{}", b""))
    expected = attributes(by_name(headers))
    for shuffled in permutations(headers):
        assert attributes(read("t", 0, 1, b"k", b"v", list(shuffled))) == expected


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), min_size=6, max_size=8))
def test_whatever_comes_is_read_alike(headers: list[tuple[str, bytes]]) -> None:
    """Names twice, names missing, sources that nobody is, numbers that are none: places never tell something else."""
    assert attributes(read("t", 0, 1, b"k", b"v", headers)) == attributes(by_name(headers))


@given(st.lists(st.sampled_from(VALUES), min_size=7, max_size=7))
def test_whatever_stands_in_a_shard_s_places_is_read_alike(values: list[bytes]) -> None:
    """The names of a shard's envelope, with anything in them."""
    headers = list(zip(NAMES[:7], values, strict=True))
    assert attributes(read("t", 0, 1, b"k", b"v", headers)) == attributes(by_name(headers))
