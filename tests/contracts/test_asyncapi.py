"""The AsyncAPI document: whole, without loose ends, and true to the contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from larder.drawings import LISTENS
from shared.contracts.asyncapi import FOLLOWED_BY, FROM_OUTSIDE, document, messages
from shared.contracts.levels import LEVELS
from shared.contracts.topics import ALL_TOPICS, SERVICES
from tests.contracts.controls import SAMPLES

DOCUMENT = document(LISTENS)


def references(node: Any) -> Iterator[str]:
    """Every `$ref` anywhere."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def at(pointer: str) -> Any:
    """What a JSON pointer into the document leads to."""
    assert pointer.startswith("#/")
    node = DOCUMENT
    for part in pointer[2:].split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def test_every_reference_leads_somewhere() -> None:
    """No loose ends."""
    found = list(references(DOCUMENT))
    assert len(found) > 100
    for reference in found:
        assert at(reference)


def test_every_topic_is_a_channel_with_its_messages() -> None:
    """Commands, events, answers of six services, and what they parked; each message on its own topic."""
    assert set(DOCUMENT["channels"]) == set(ALL_TOPICS)
    for message in messages():
        if not message.TOPIC.startswith("*"):
            assert message.TYPE in DOCUMENT["channels"][message.TOPIC]["messages"]
    assert "CommandRefused" in DOCUMENT["channels"]["risk.answers"]["messages"]
    assert "CommandRefused" not in DOCUMENT["channels"]["risk.events"]["messages"]
    assert list(DOCUMENT["channels"]["risk.parked"]["messages"]) == ["MessageParked"]


def test_operations_name_messages_of_their_channel() -> None:
    """As the specification asks."""
    for name, operation in DOCUMENT["operations"].items():
        channel = operation["channel"]["$ref"]
        assert operation["messages"], name
        assert all(m["$ref"].startswith(f"{channel}/messages/") for m in operation["messages"]), name


@pytest.mark.parametrize("service", SERVICES)
def test_service_receives_what_it_listens_to(service: str) -> None:
    """No more, no less."""
    received = {
        reference["$ref"].rpartition("/")[2]
        for name, operation in DOCUMENT["operations"].items()
        if name.startswith(f"{service}.receive.")
        for reference in operation["messages"]
    }
    assert received == {m.TYPE for m in (*LISTENS[service], *FOLLOWED_BY.get(service, ()))}


def test_whoever_sends_a_received_message_is_known() -> None:
    """Every message that a service receives is sent by one, or comes from outside."""
    sent = {
        reference["$ref"].rpartition("/")[2]
        for operation in DOCUMENT["operations"].values()
        if operation["action"] == "send"
        for reference in operation["messages"]
    }
    outside = {m.TYPE for m in FROM_OUTSIDE}
    assert not sent & outside
    assert sent | outside == {m.TYPE for m in messages()}


def test_headers_say_who_sends() -> None:
    """A person's command carries the actor, a service's message its link, a level neither."""
    for message in messages():
        (trait,) = DOCUMENT["components"]["messages"][message.TYPE]["traits"]
        headers = at(trait["$ref"])["headers"]["properties"]
        assert ("ce_actor" in headers) is (message in FROM_OUTSIDE)
        assert ("link" in headers) is (message not in FROM_OUTSIDE and message not in LEVELS)


def test_payloads_describe_the_samples() -> None:
    """Every field of a stored sample is a property of its schema, and what is required is in the sample."""
    for message in messages():
        schema = DOCUMENT["components"]["messages"][message.TYPE]["payload"]["schema"]
        stored = json.loads((SAMPLES / f"{message.TYPE}.json").read_text())
        assert set(stored) == set(schema["properties"])
        assert set(schema.get("required", ())) <= set(stored)


def test_document_is_the_same_every_time() -> None:
    """Otherwise the file on disk would change without a reason."""
    assert json.dumps(document(LISTENS)) == json.dumps(DOCUMENT)
