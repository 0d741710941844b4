"""Nothing from outside is unbounded, converted, or taken for filled when it is blank: a scan of every field there is.

Two looks at the same thing. The types of all messages and all bodies of requests: every leaf has its bounds. And the
golden sample of every message, with each of its values replaced by ones that cannot be meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import BaseModel, ValidationError

from shared.contracts.asyncapi import FROM_OUTSIDE, messages
from shared.contracts.base import Filled, Message, Part
from shared.http.body import Body
from tests.contracts.test_samples import sample
from tests.http.routes import bodies

each_message = pytest.mark.parametrize("message", messages(), ids=lambda m: m.TYPE)
each_body = pytest.mark.parametrize("body", bodies(), ids=lambda b: f"{b.__module__}.{b.__name__}")


class Leaf(NamedTuple):
    """A type that holds no other, where it stands, and what bounds it."""

    path: str
    kind: Any
    bounds: frozenset[type]


def leaves(kind: Any, path: str, metadata: tuple[Any, ...] = ()) -> Iterator[Leaf]:
    """All leaves below a type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from leaves(inner[0], path, (*metadata, *inner[1:]))
    elif origin in (Union, UnionType):
        for one in inner:
            yield from leaves(one, path, metadata)
    elif origin in (tuple, list):
        yield Leaf(path, list, _bounds(metadata))
        yield from leaves(inner[0], f"{path}[]")
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from leaves(field.annotation, f"{path}.{name}", tuple(field.metadata))
    elif origin is not Literal and kind is not NoneType:
        yield Leaf(path, kind, _bounds(metadata))


def _bounds(metadata: tuple[Any, ...]) -> frozenset[type]:
    """The kinds of bound among annotations; those of the library hold several."""
    found: set[type] = set()
    for one in metadata:
        parts = getattr(one, "metadata", None) or [one]
        for part in parts:
            found.add(type(part))
            if getattr(part, "max_length", None) is not None:
                found.add(MaxLen)
    return frozenset(found)


def unbounded(leaf: Leaf) -> str | None:
    """What is missing of a leaf's bounds."""
    if leaf.kind in (int, float):
        whole = leaf.bounds & {Ge, Gt} and leaf.bounds & {Le, Lt}
        return None if whole else "a number without bounds"
    if leaf.kind in (str, list):
        return None if MaxLen in leaf.bounds else "a length without bound"
    if leaf.kind is datetime or getattr(leaf.kind, "__name__", "") == "AwareDatetime":
        return None if {Ge, Lt} <= leaf.bounds else "an instant that is no Moment"
    if leaf.kind is bool or (isinstance(leaf.kind, type) and issubclass(leaf.kind, Enum)):
        return None
    if leaf.kind == dict[str, Any]:
        return None  # a store's area: `services.order.areas` says what it may be
    return f"a type that this test does not know: {leaf.kind}"


@each_message
def test_every_field_of_a_message_is_bounded(message: type[Message]) -> None:
    """No text, list, number or instant that anybody who may write to a topic could make as large as he likes."""
    found = [(leaf.path, wrong) for leaf in leaves(message, message.TYPE) if (wrong := unbounded(leaf))]
    assert not found


@each_body
def test_every_field_of_a_body_is_bounded(body: type[Body]) -> None:
    """The same over HTTP."""
    found = [(leaf.path, wrong) for leaf in leaves(body, body.__name__) if (wrong := unbounded(leaf))]
    assert not found


@each_body
def test_bodies_convert_nothing(body: type[Body]) -> None:
    """Every model in a body is strict: a text is no number, 1 is not yes."""
    assert [model.__name__ for model in models(body) if not model.model_config.get("strict")] == []


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all models inside it."""
    yield model
    for field in model.model_fields.values():
        yield from _models_in(field.annotation)


def _models_in(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from models(kind)
    for inner in get_args(kind):
        yield from _models_in(inner)


# -- every value of every sample, spoilt -------------------------------------------------------------------------------

TOO_EARLY, TOO_LATE = "0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-23:59"
SPOILT: Mapping[type, tuple[Any, ...]] = {
    bool: (0, 1, "true", "off", None),
    int: (10**30, -(10**30), 1.5, "1", "1_0", True),
    float: ("52.1", True, 1e300, -1e300, [], "NaN"),
    str: ("x" * 100_000, 7, True, ["x"], "\x00"),
    datetime: (TOO_EARLY, TOO_LATE, 1_990_000_000, "1990000000", 1, "2026-11-22T18:00:00", "2026-11-22", "noon", True),
    list: ({}, "x", 0),
}


def kind_of(value: Any) -> type:
    """What a value of a sample is meant as: instants are texts on the wire."""
    if isinstance(value, str) and len(value) > 18 and value[4] == "-" and "T" in value:
        return datetime
    return type(value)


def spoilt(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with one place in it made what it cannot be, one after the other, and what was done."""
    if isinstance(value, dict):
        for name, inner in value.items():
            for what, changed in spoilt(inner):
                yield f"{name}: {what}", {**deepcopy(value), name: changed}
        return
    for wrong in SPOILT[kind_of(value)]:
        yield f"{str(wrong)[:40]!r} ({type(wrong).__name__})", wrong
    if isinstance(value, list) and value:
        yield "10,000 of them", value[:1] * 10_000
        for what, changed in spoilt(value[0]):
            yield f"first: {what}", [changed, *value[1:]]


@each_message
def test_no_value_that_cannot_be_meant_is_read(message: type[Message]) -> None:
    """Whatever place of the message it stands in: it parks as malformed, and nothing is converted."""
    taken = []
    for what, body in spoilt(json.loads(sample(message))):
        try:
            message.from_json(json.dumps(body).encode())
        except ValidationError:
            continue
        taken.append(what)
    assert not taken


# -- texts that show nothing -------------------------------------------------------------------------------------------

NOTHING_TO_SEE = (
    "",
    " ",
    "\t\n",
    "\u00a0",
    "\u200b",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u3164",
    "\u2800",
    "\u2028",
    "\u202e",
)


@pytest.mark.parametrize("text", NOTHING_TO_SEE, ids=ascii)
def test_a_text_that_shows_nothing_is_not_filled(text: str) -> None:
    """Blanks of all kinds, and characters that nobody sees; beside something that shows they may stand."""

    class Said(Part):
        text: Filled

    with pytest.raises(ValidationError):
        Said(text=text)
    assert Said(text=text + "é" + text).text == text + "é" + text


@pytest.mark.parametrize(
    "outermost", [*bodies(), *sorted(FROM_OUTSIDE, key=lambda m: m.TYPE)], ids=lambda m: m.__name__
)
def test_required_texts_of_people_show_something(outermost: type[BaseModel]) -> None:
    """A text that must be given must say something, over HTTP and over Kafka: it is Filled, or a name."""
    for model in models(outermost):
        for name, field in model.model_fields.items():
            if field.annotation is str and field.is_required():
                with pytest.raises(ValidationError) as refused:
                    model.model_validate({name: " \u200b "})
                assert any(e["loc"] == (name,) for e in refused.value.errors()), f"{model.__name__}.{name}"
