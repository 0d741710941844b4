"""The cancel policy: data in cancel_policy.toml. Phase × actor says allowed, refused, or through a ticket."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path

from services.order.state import SALES_ONLY, Phase
from shared.contracts.base import sales_order_of


class Actor(StrEnum):
    """Who may wish to cancel."""

    CUSTOMER = "customer"
    CUSTOMER_SERVICE = "customer_service"
    SYSTEM = "system"


class Policy(StrEnum):
    """What is answered."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    TICKET = "ticket"


def actor_of(sender: str) -> Actor:
    """The actor of `role:id`, the sender of a command."""
    role = sender.partition(":")[0]
    if role in ("customer_service", "admin"):
        return Actor.CUSTOMER_SERVICE
    return Actor.CUSTOMER if role == "customer" else Actor.SYSTEM


def read_policy(text: str, phases: Collection[Phase]) -> dict[Phase, dict[Actor, Policy]]:
    """The policy of a TOML text; raises ValueError when a phase or an actor is missing, or a word is not known."""
    raw = tomllib.loads(text)
    if wrong := set(raw) ^ set(phases):
        raise ValueError(f"the cancel policy must name every phase once, and nothing else: look at {sorted(wrong)}")
    for phase, row in raw.items():
        if set(row) != set(Actor):
            raise ValueError(f"the cancel policy must name {', '.join(Actor)} in {phase}, not {', '.join(row)}")
    return {Phase(phase): {actor: Policy(row[actor]) for actor in Actor} for phase, row in raw.items()}


CANCEL_POLICY = read_policy(Path(__file__).with_name("cancel_policy.toml").read_text(), set(Phase) - {Phase.NEW})
REPLACEMENT_POLICY = read_policy(
    Path(__file__).with_name("replacement_policy.toml").read_text(),
    set(Phase) - {Phase.NEW, *SALES_ONLY},
)


def policy_of(order_id: str) -> Mapping[Phase, Mapping[Actor, Policy]]:
    """The policy for an order: a replacement order has its own."""
    return REPLACEMENT_POLICY if sales_order_of(order_id) != order_id else CANCEL_POLICY
