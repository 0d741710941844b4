"""Drawings on disk are what the tables and the contracts say."""

from __future__ import annotations

from pathlib import Path

import pytest

from larder.drawings import TABLES, diagram, drawings, grid, life
from services.order.decider import SALES_ORDER
from services.order.state import Phase
from shared.runtime.table import Table, To
from tests.deciders.everybody import ALL_TABLES

ROOT = Path(__file__).parents[2]
DRAWN = drawings(ROOT)


@pytest.mark.parametrize("path", DRAWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_drawing_is_up_to_date(path: Path) -> None:
    """`make docs` draws anew."""
    assert path.exists(), "not drawn yet: make docs"
    assert path.read_text() == DRAWN[path], "stale: make docs"


def test_every_table_is_drawn() -> None:
    """Of every service; and no drawing is of a table that there is not."""
    assert set(TABLES) == set(ALL_TABLES)
    folder = ROOT / "docs" / "tables"
    assert set(folder.glob("*.md")) == {path for path in DRAWN if path.parent == folder}


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_grid_has_a_row_for_every_cell(table: Table) -> None:
    """And says of each what it is."""
    lines = [line for line in grid(table).splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(list(table.cells()))
    assert sum(line.endswith("ignored |") for line in lines) == sum(cell == () for *_, cell in table.cells())


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_diagram_has_every_way(table: Table) -> None:
    """One arrow for each pair of phases that a message leads between."""
    drawn = {tuple(line.split(":")[0].split("-->")) for line in diagram(table).splitlines() if "-->" in line}
    ways = {(phase, cell.phase) for phase, _, cell in table.cells() if isinstance(cell, To) and cell.phase != phase}
    assert {(a.strip(), b.strip()) for a, b in drawn} == {(str(a), str(b)) for a, b in ways}


def test_readme_shows_the_way_of_a_good_order() -> None:
    """From screening to closed, each step with its message."""
    picture = life()
    assert "screening -->|OrderCleared or FirstPaidFirst or OrderRestricted| holding" in picture
    assert "delivered -->|WindowShut| closed" in picture
    for phase in Phase:
        if phase not in (Phase.NEW, Phase.IN_REVIEW, Phase.RESERVING_SLOT) and "cancel_wanted" not in phase:
            assert phase in picture, phase
    assert SALES_ORDER in TABLES
