"""What was found of goods, line by line, against what there should have been: by the picker, and by the storekeeper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.logistics import inner
from services.logistics.state import Found
from shared.contracts import logistics

NAMED_MAX = 10
"""Most SPUs that a refusal names."""


def read_inspection(
    message: logistics.InspectGoods | logistics.InspectReturn, due: Mapping[str, int], more: Callable[[str], object]
) -> object:
    """An inspection against what should have come: GoodsSorted, LineUnknown, or `more` with what of it was too much."""
    came = summed(message.spus, message.quantities)
    if unknown := [spu for spu in came if spu not in due]:
        return inner.LineUnknown(not_on_the_list(unknown))
    if too_many := [spu for spu, quantity in came.items() if quantity > due[spu]]:
        return more(at_most(too_many, due))
    lines = list(zip(message.spus, message.quantities, message.resellable, strict=True))
    good, bad = ([line for line in lines if line[2] is wanted] for wanted in (True, False))
    missing = {spu: quantity - came.get(spu, 0) for spu, quantity in due.items()}
    return inner.GoodsSorted(
        resellable=summed([line[0] for line in good], [line[1] for line in good]),
        damaged=summed([line[0] for line in bad], [line[1] for line in bad]),
        missing={spu: quantity for spu, quantity in missing.items() if quantity},
    )


def lines_of(m: inner.GoodsSorted) -> tuple[tuple[str, int, Found], ...]:
    """What was found, as lines: SPU, pieces, and what of them."""
    sorted_ = ((Found.RESELLABLE, m.resellable), (Found.DAMAGED, m.damaged), (Found.MISSING, m.missing))
    return tuple((spu, quantity, found) for found, pieces in sorted_ for spu, quantity in pieces.items())


def fields_of(m: inner.GoodsSorted) -> dict[str, Any]:
    """What was found, as the events about it say it."""
    return {
        "resellable_spus": tuple(m.resellable),
        "resellable": tuple(m.resellable.values()),
        "damaged_spus": tuple(m.damaged),
        "damaged": tuple(m.damaged.values()),
        "missing_spus": tuple(m.missing),
        "missing": tuple(m.missing.values()),
    }


def summed(spus: Sequence[str], quantities: Sequence[int]) -> dict[str, int]:
    """Pieces per SPU."""
    total = dict.fromkeys(spus, 0)
    for spu, quantity in zip(spus, quantities, strict=True):
        total[spu] += quantity
    return total


def not_on_the_list(spus: Sequence[str]) -> str:
    """Words for a person who names what should not be there."""
    return f"not on the list: {', '.join(spus[:NAMED_MAX])}"


def at_most(spus: Sequence[str], listed: Mapping[str, int]) -> str:
    """Words for a person who names more than there should be."""
    return f"the list has {', '.join(f'{listed[spu]} {spu}' for spu in spus[:NAMED_MAX])}"
