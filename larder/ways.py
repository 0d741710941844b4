"""Two more grids of the order's table: who may cancel in which phase, and each phase's shortest way to an end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from services.order import inner
from services.order.decider import DECIDER, SALES_ORDER
from services.order.policy import CANCEL_POLICY, REPLACEMENT_POLICY, Actor, Policy
from services.order.replacing import REPLACEMENT_ORDER
from services.order.state import ENDS, Phase
from shared.runtime.table import Refuse, Table, To

_WISHES: Mapping[Policy, type] = {
    Policy.ALLOWED: inner.CancelWanted,
    Policy.REFUSED: inner.CancelRefused,
    Policy.TICKET: inner.CancelNeedsTicket,
}
"""What the policy's words are to the table."""
_TIMERS = frozenset(DECIDER.timers.values())


class Step(NamedTuple):
    """A message, and the phase that it leads into."""

    message: type
    phase: Phase


def _can_come(phase: Phase, message: type) -> bool:
    """Whether the cancel policy of today lets this message be."""
    by_policy: dict[type, Policy] = {inner.CancelWanted: Policy.ALLOWED, inner.CancelByTicket: Policy.TICKET}
    wanted = by_policy.get(message)
    return wanted is None or wanted in CANCEL_POLICY.get(phase, {}).values()


def way_to_end(start: Phase) -> list[Step] | None:
    """The fewest steps from a phase of the sales order to an end, timers first; None when there is no way."""
    seen, ways = {start}, [(start, list[Step]())]
    for phase, steps in ways:  # grows while it is walked, the shortest ways first
        if phase in ENDS:
            return steps
        for message, cell in sorted(SALES_ORDER.rows[phase].items(), key=lambda item: item[0] not in _TIMERS):
            if not isinstance(cell, To) or not _can_come(phase, message):
                continue
            if (after := Phase(cell.phase)) not in seen:
                seen.add(after)
                ways.append((after, [*steps, Step(message, after)]))
    return None


def ways_to_the_end() -> str:
    """The page of all phases of the sales order, each with its shortest way to an end."""
    lines = [
        "# Ways to the end",
        "",
        "From every phase of a sales order, the fewest messages that end it. What each does on the way stands in",
        "[sales-order.md](sales-order.md).",
        "",
        "| phase | steps | the shortest way |",
        "| --- | --- | --- |",
    ]
    for phase in SALES_ORDER.rows:
        steps = way_to_end(Phase(phase))
        if steps is None:
            lines.append(f"| **{phase}** | - | none |")
        else:
            way = ", ".join(f"{step.message.__name__} → **{step.phase}**" for step in steps)
            lines.append(f"| **{phase}** | {len(steps)} | {way or 'an end'} |")
    return "\n".join(lines) + "\n"


def cancel_policy() -> str:
    """The page of the cancel policy: phase by actor, and what the one who asks is answered."""
    lines = [
        "# Cancel policy",
        "",
        "What `POST /orders/{id}/cancel` comes to, by the order's phase and by who asks. The policy is",
        "[cancel_policy.toml](../../services/order/cancel_policy.toml): changing it changes no code.",
        "",
        *_grid(CANCEL_POLICY, SALES_ORDER),
        "",
        "An arrow: 202, and where the order goes. A code: 409. `cancel_needs_ticket`: customer service can, by an",
        "intercept ticket, or, once the goods are delivered, by a ticket about them. Customer service includes admins;",
        "system is everybody else who sends commands to the topic.",
        "",
        "## Replacement orders",
        "",
        "They have a policy of their own,",
        "[replacement_policy.toml](../../services/order/replacement_policy.toml). `cancel_needs_ticket`: customer",
        "service has the ticket that the goods go out for.",
        "",
        *_grid(REPLACEMENT_POLICY, REPLACEMENT_ORDER),
    ]
    return "\n".join(lines) + "\n"


def _grid(policy: Mapping[Phase, Mapping[Actor, Policy]], table: Table) -> Iterator[str]:
    yield f"| phase | {' | '.join(actor.replace('_', ' ') for actor in Actor)} |"
    yield "| --- |" + " --- |" * len(Actor)
    for phase, answers in policy.items():
        yield f"| **{phase}** | {' | '.join(_answer(table, phase, answers[actor]) for actor in Actor)} |"


def _answer(table: Table, phase: Phase, policy: Policy) -> str:
    cell = table.cell(phase, _WISHES[policy])
    if isinstance(cell, To):
        return f"→ **{cell.phase}**"
    assert isinstance(cell, Refuse), f"a wish to cancel is never ignored, but it is in {phase}"
    return f"`{cell.code}`"
