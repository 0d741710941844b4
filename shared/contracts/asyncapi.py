"""The messages as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0).

A pure function of the contracts: a channel per topic, a message per contract with the JSON schema of its body and its
headers, and for every service what it receives and what it sends.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

from shared.contracts import aftersales, base, inventory, levels, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import CommandAccepted, CommandRefused, Message, MessageParked
from shared.contracts.levels import LEVELS
from shared.contracts.topics import ALL_TOPICS, SERVICES, commands_of, events_of, levels_of

Listens = Mapping[str, Collection[type[Message]]]
"""What each service listens to, by its name."""

FROM_OUTSIDE: frozenset[type[Message]] = frozenset(
    {
        ordering.PlaceOrder,
        ordering.PayOrder,
        ordering.CancelOrder,
        ordering.TellSale,
        risk.DecideReview,
        risk.ClaimReview,
        risk.ReleaseReview,
        risk.SignalsTold,
        inventory.ReceiveGoods,
        inventory.AdjustStock,
        inventory.SetAllotment,
        inventory.ExpectGoods,
        payment.ReportMoney,
        logistics.SetSlots,
        logistics.StartPicking,
        logistics.ReportPicked,
        logistics.ReportPacked,
        logistics.HandOver,
        logistics.ReportDelivered,
        logistics.ReportUndeliverable,
        logistics.BringGoodsBack,
        logistics.InspectGoods,
        logistics.CollectReturn,
        logistics.BringReturn,
        logistics.InspectReturn,
        aftersales.OpenTicket,
        aftersales.RecordCall,
        aftersales.ApproveTicket,
        aftersales.RejectTicket,
        aftersales.ClaimTicket,
        aftersales.ReleaseTicket,
        aftersales.NoteTicket,
        aftersales.RateOrder,
    }
)
"""What no service sends: people's commands, over HTTP or through the log, the gateway's webhook, and what risk's stream
application tells."""
PACKED_BY: Mapping[type[Message], Collection[str]] = {
    risk.AccountsActed: ("order", "aftersales"),
    risk.OrdersSeen: ("risk",),
}
"""Which services say the entries of a pack: it travels on no topic of theirs."""

FOLLOWED_BY: Mapping[str, Collection[type[Message]]] = {"order": LEVELS}
"""Which services read levels: quotes are told from them, nothing is decided on them."""

SAGA = "order"
"""The one service that tells others what to do."""

_MODULES: tuple[ModuleType, ...] = (base, ordering, inventory, risk, payment, logistics, aftersales, levels)
_ANSWERS = (CommandAccepted, CommandRefused)
_SCHEMA = "application/schema+json;version=draft-07"
_TEXT = {"type": "string"}


def messages() -> list[type[Message]]:
    """Every message there is, in the order of the contracts."""
    classes = [found for module in _MODULES for found in vars(module).values() if inspect.isclass(found)]
    return list(dict.fromkeys(c for c in classes if issubclass(c, Message) and _is_whole(c)))


def _is_whole(message: type[Message]) -> bool:
    return hasattr(message, "TOPIC") and not message.__subclasses__()


def sends(service: str) -> list[type[Message]]:
    """What a service says: its events, levels, packs, the answers to commands, what it parked, and, if it is the saga,
    what others shall do."""
    found = [m for m in messages() if m.TOPIC in (events_of(service), levels_of(service))]
    if service == SAGA:
        theirs = {commands_of(other) for other in SERVICES}
        found += [m for m in messages() if m.TOPIC in theirs and m not in FROM_OUTSIDE]
    return [*found, *(pack for pack, by in PACKED_BY.items() if service in by), *_ANSWERS, MessageParked]


def document(listens: Listens) -> dict[str, Any]:
    """The whole document, for services that listen to this."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "larder",
            "version": "1",
            "description": "The messages of larder: CloudEvents 1.0 in Kafka's binary mode. The record's key is the "
            "value of the field that the message's binding names, its partition murmur2 of the key, as Kafka's default "
            "partitioner. Changes are additive: readers ignore fields that they do not know.",
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic) for topic in ALL_TOPICS},
        "operations": _operations(listens),
        "components": {
            "messages": {m.TYPE: _message(m) for m in messages()},
            "messageTraits": {
                "outside": _headers(_OUTSIDE),
                "service": _headers(_SERVICE),
                "level": _headers(_LEVEL),
            },
        },
    }


_KINDS = {
    "commands": "Orders to",
    "events": "Facts told by",
    "answers": "Answers to people's commands by",
    "parked": "What could not be handled by",
    "activity": "What accounts did and which orders were screened, for the stream application of",
    "signals": "How accounts, devices and addresses conduct themselves, for",
    "levels": "What stores have, the newest of each key (compacted; a record without a value: it is over), as told by",
}


def _channel(topic: str) -> dict[str, Any]:
    service, _, kind = topic.partition(".")
    what = _KINDS[kind]
    names = [m.TYPE for m in messages() if m.TOPIC in (topic, f"*.{kind}")]
    return {
        "address": topic,
        "description": f"{what} the {service} service.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": topic}},
    }


def _message(message: type[Message]) -> dict[str, Any]:
    trait = "outside" if message in FROM_OUTSIDE else "level" if message in LEVELS else "service"
    return {
        "name": message.TYPE,
        "summary": inspect.cleandoc(message.__doc__ or ""),
        "contentType": "application/json",
        "traits": [{"$ref": f"#/components/messageTraits/{trait}"}],
        "payload": {"schemaFormat": _SCHEMA, "schema": _without_references(message.model_json_schema())},
        "bindings": {"kafka": {"key": {"type": "string", "description": f"the field {message.key_named()}"}}},
    }


def _without_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its parts written where they are used: `$ref` would be looked up in the whole document."""
    parts = schema.pop("$defs", {})

    def written(node: Any) -> Any:
        if isinstance(node, list):
            return [written(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**written(parts[node["$ref"].rpartition("/")[2]]), **written(rest)}
        return {key: written(value) for key, value in node.items()}

    found: dict[str, Any] = written(schema)
    return found


_ENVELOPE = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {**_TEXT, "description": "what makes the message the same one when it comes twice"},
    "ce_type": {**_TEXT, "description": "the message's name"},
    "ce_source": _TEXT,
    "ce_time": {**_TEXT, "format": "date-time"},
    "ce_subject": {**_TEXT, "description": "what it is about: messages of one subject keep their order"},
    "traceparent": {**_TEXT, "description": "W3C trace context, if there is one"},
}
_OUTSIDE = {
    **_ENVELOPE,
    "ce_actor": {**_TEXT, "description": "who asks, as `role:account` or, of people who work here, `role:name`"},
    "fingerprint": {**_TEXT, "description": "of the body: a reused id with another body is told from a repeat"},
}
_SERVICE = {
    **_ENVELOPE,
    "link": {
        **_TEXT,
        "pattern": "^[1-9][0-9]*$",
        "description": "the message's number on the stream from one shard to one partition, without gaps",
    },
}
_LEVEL = {name: about for name, about in _ENVELOPE.items() if name != "traceparent"}
_OPTIONAL = ("traceparent", "fingerprint")


def _headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    required = [name for name in headers if name not in _OPTIONAL]
    return {"headers": {"type": "object", "properties": dict(headers), "required": required}}


def _operations(listens: Listens) -> dict[str, Any]:
    operations = {}
    for service in SERVICES:
        for action, found in (
            ("receive", [*listens[service], *FOLLOWED_BY.get(service, ())]),
            ("send", sends(service)),
        ):
            for topic in ALL_TOPICS:
                names = [m.TYPE for m in found if topic in (m.TOPIC, m.TOPIC.replace("*", service))]
                if names:
                    refs = [{"$ref": f"#/channels/{_escaped(topic)}/messages/{name}"} for name in names]
                    operations[f"{service}.{action}.{topic}"] = {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{_escaped(topic)}"},
                        "summary": f"The {service} service {action}s on {topic}.",
                        "tags": [{"name": service}],
                        "messages": refs,
                    }
    return operations


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
