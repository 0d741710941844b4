"""The pages of the ways to the end and of the cancel policy, and the picture of an order's life, ways back included."""

from __future__ import annotations

import re
from pathlib import Path

from larder.drawings import FORWARD, LEFT_OUT, drawings, life
from larder.ways import way_to_end, ways_to_the_end
from services.order.decider import SALES_ORDER
from services.order.state import ENDS, Phase
from shared.runtime.table import To

ROOT = Path(__file__).parents[2]
LINES_MAX = 40
"""More lines than this make no picture that one can read."""


def test_page_shows_no_phase_without_a_way_to_an_end() -> None:
    """A row for each phase; `none` would stand where there is no way."""
    rows = [line.split("|") for line in ways_to_the_end().splitlines() if line.startswith("| **")]
    assert [row[1].strip(" *") for row in rows] == list(Phase)
    for phase, (_, _, steps, way, _) in zip(Phase, rows, strict=True):
        assert way.strip() != "none"
        assert int(steps) == len(way_to_end(phase) or ())
        assert way.strip() == "an end" or way.rstrip(" *").endswith(tuple(ENDS))


def test_ways_follow_the_table() -> None:
    """Each step is a cell of the table, and the last one leads into an end."""
    for phase in Phase:
        here = phase
        for step in way_to_end(phase) or ():
            cell = SALES_ORDER.cell(here, step.message)
            assert isinstance(cell, To)
            assert cell.phase is step.phase
            here = step.phase
        assert here in ENDS


def test_both_pages_are_drawn() -> None:
    """With the tables, under a line that says who drew them."""
    drawn = {path.name: text for path, text in drawings(ROOT).items()}
    for name in ("ways-to-the-end.md", "cancel-policy.md"):
        assert drawn[name].startswith("<!-- Drawn by `larder docs`")


def test_picture_has_every_way_back_and_stays_small() -> None:
    """Each phase of the order but side-steps before the money; one dotted line for all ways to the same place."""
    picture = life()
    assert len(picture.splitlines()) <= LINES_MAX
    assert {phase for phase in Phase if re.search(rf"\b{phase}\b", picture)} == set(Phase) - LEFT_OUT
    dotted = [line.split(" -.-> ") for line in picture.splitlines() if " -.-> " in line]
    assert len({target for _, target in dotted}) == len(dotted)
    ways = {(source.strip(), target) for sources, target in dotted for source in sources.split("&")}
    moves = {(p, c.phase) for p, _, c in SALES_ORDER.cells() if isinstance(c, To) and c.phase != p}
    back = {(p, t) for p, t in moves if LEFT_OUT.isdisjoint((p, t)) and not {p, t} <= set(FORWARD)}
    assert ways == {(str(p), str(t)) for p, t in back}
