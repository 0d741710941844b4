"""The chart of an order's life that the console fills with counts: drawn from the table, as a template."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from services.order.state import Phase

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 104, 40, 12, 34, 8
PLACES: dict[StrEnum, tuple[int, int]] = {
    Phase.RESERVING_SLOT: (0, 0),
    Phase.IN_REVIEW: (1, 0),
    Phase.SCREENING: (0, 1),
    Phase.HOLDING: (1, 1),
    Phase.AWAITING_PAYMENT: (2, 1),
    Phase.VERIFYING: (3, 1),
    Phase.PAYING: (4, 1),
    Phase.DEDUCTING: (5, 1),
    Phase.AWAITING_PICKING: (6, 1),
    Phase.PICKING: (7, 1),
    Phase.AWAITING_SHIPMENT: (8, 1),
    Phase.IN_DELIVERY: (9, 1),
    Phase.DELIVERED: (10, 1),
    Phase.CLOSED: (11, 1),
    Phase.SHORT: (7, 0),
    Phase.SUBSTITUTING: (8, 0),
    Phase.PAYING_CANCEL_WANTED: (4, 2),
    Phase.DEDUCTING_CANCEL_WANTED: (5, 2),
    Phase.RELEASING: (2, 2),
    Phase.STOPPING: (7, 2),
    Phase.INTERCEPTING: (9, 2),
    Phase.REVERSING: (6, 3),
    Phase.RETURNING: (9, 3),
    Phase.REJECTED: (1, 4),
    Phase.CANCELLED: (3, 4),
    Phase.REFUNDING: (5, 4),
}
"""Where a phase stands: column and row. The good way is one row; side-steps stand above it, ways back below."""
SHORT_WORDS = {
    Phase.AWAITING_PAYMENT: "to be paid",
    Phase.AWAITING_PICKING: "to be picked",
    Phase.AWAITING_SHIPMENT: "packed",
    Phase.IN_DELIVERY: "on the road",
    Phase.PAYING_CANCEL_WANTED: "paying, cancelled",
    Phase.DEDUCTING_CANCEL_WANTED: "deduct., cancelled",
}


def chart(moves: Iterable[tuple[StrEnum, StrEnum, list[str]]]) -> str:
    """SVG as a template: `rows` has what is known of each phase that has orders."""
    edges = [(a, b) for a, b, _ in moves if a in PLACES and b in PLACES]
    columns, lines = (max(place[n] for place in PLACES.values()) + 1 for n in (0, 1))
    width, height = MARGIN * 2 + columns * (WIDTH + GAP_X), MARGIN * 2 + lines * (HEIGHT + GAP_Y)
    drawn = [
        "{# Drawn by `larder docs` from the table; do not edit. #}",
        f'<svg viewBox="0 0 {width} {height}" role="group" aria-label="Orders by phase">',
        *(_edge(a, b) for a, b in edges),
        *(_node(phase) for phase in PLACES),
        "</svg>",
    ]
    return "\n".join(drawn) + "\n"


def _corner(phase: StrEnum) -> tuple[int, int]:
    column, line = PLACES[phase]
    return MARGIN + column * (WIDTH + GAP_X), MARGIN + line * (HEIGHT + GAP_Y)


def _edge(source: StrEnum, target: StrEnum) -> str:
    """From the side that looks at the other one; the good way is a straight line, what goes back is bent."""
    (x, y), (to_x, to_y) = _corner(source), _corner(target)
    a, b = x + WIDTH // 2, to_x + WIDTH // 2
    is_forward = y == to_y and 0 < to_x - x <= WIDTH + GAP_X
    if is_forward:
        path = f"M{x + WIDTH} {y + HEIGHT // 2}H{to_x}"
    elif y == to_y:
        low, dip = y + HEIGHT, y + HEIGHT + GAP_Y // 2
        path = f"M{a} {low}C{a} {dip} {b} {dip} {b} {low}"
    else:
        begin, end = (y + HEIGHT, to_y) if to_y > y else (y, to_y + HEIGHT)
        middle = (begin + end) // 2
        path = f"M{a} {begin}C{a} {middle} {b} {middle} {b} {end}"
    return f'<path class="edge{" forward" if is_forward else ""}" data-way="{source}-{target}" d="{path}"/>'


def _node(phase: StrEnum) -> str:
    x, y = _corner(phase)
    words = SHORT_WORDS.get(phase, phase.replace("_", " "))  # type: ignore[call-overload]
    return (
        f'<a href="/orders?phase={phase}"><g class="node{{{{ " busy" if "{phase}" in rows }}}}" data-phase="{phase}">'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        f'<text x="{x + WIDTH // 2}" y="{y + 16}" text-anchor="middle">{words}</text>'
        f'<text class="count" x="{x + WIDTH // 2}" y="{y + 33}" text-anchor="middle">'
        f'{{{{ rows["{phase}"].orders if "{phase}" in rows }}}}</text></g></a>'
    )
