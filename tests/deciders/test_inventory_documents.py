"""Inventory: given a store's stock, when a storekeeper receives or counts, then one document says so."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.inventory.decider import DECIDER
from services.inventory.state import Cell, Document, Kind, Movement, RequestPhase, StoreRequest
from shared.contracts import inventory
from shared.runtime.table import Refused
from tests.deciders.scene import NOON, Scene

STORE = "s-1"
KEEPER = "storekeeper:"


def shelf(**cells: tuple[int, int]) -> Scene:
    """A store with (on hand, locked) of some SPUs."""
    return Scene(DECIDER, {("cell", STORE, spu): Cell(*cell) for spu, cell in cells.items()})


def receipt(*lines: tuple[str, int], request: str = "r-1") -> inventory.ReceiveGoods:
    spus, quantities = zip(*lines, strict=True)
    return inventory.ReceiveGoods(request_id=request, store=STORE, spus=spus, quantities=quantities)


def count(*lines: tuple[str, int], request: str = "r-1") -> inventory.AdjustStock:
    spus, deltas = zip(*lines, strict=True)
    return inventory.AdjustStock(request_id=request, store=STORE, spus=spus, deltas=deltas, reason="counted")


def test_received_goods_are_on_hand() -> None:
    """The cells grow (also one that never was), by a receipt that names who asked, and a ledger row that names it."""
    scene = shelf(apple=(2, 1))
    assert scene.says(receipt(("apple", 10), ("milk", 5)), KEEPER) == [
        Document("GR-r-1", Kind.GOODS_RECEIPT, STORE, None, NOON, ("apple", "milk"), (10, 5), actor=KEEPER),
        Movement(STORE, NOON, "goods_receipt", None, "GR-r-1", ("apple", "milk"), (10, 5), (0, 0)),
        inventory.GoodsReceived(store=STORE, document="GR-r-1", at=NOON),
    ]
    assert scene.states["cell", STORE, "apple"] == Cell(12, 1)
    assert scene.states["cell", STORE, "milk"] == Cell(5, 0)
    assert scene.states["request", "GR-r-1"] == StoreRequest("GR-r-1", RequestPhase.WRITTEN)


def test_summed_when_an_spu_stands_twice() -> None:
    """Two lines of one SPU are one line of the receipt."""
    scene = shelf()
    document = scene.says(receipt(("apple", 1), ("milk", 1), ("apple", 2)))[0]
    assert isinstance(document, Document)
    assert (document.spus, document.quantities) == (("apple", "milk"), (3, 1))
    assert scene.states["cell", STORE, "apple"] == Cell(3, 0)


def test_adjusted_to_the_count() -> None:
    """More here, less there, down to what is locked; the document keeps the differences and the reason."""
    scene = shelf(apple=(5, 3), milk=(1, 0))
    assert scene.says(count(("apple", -2), ("milk", 4)), KEEPER) == [
        Document("AD-r-1", Kind.ADJUSTMENT, STORE, None, NOON, ("apple", "milk"), (-2, 4), None, "counted", KEEPER),
        Movement(STORE, NOON, "adjustment", None, "AD-r-1", ("apple", "milk"), (-2, 4), (0, 0)),
        inventory.StockAdjusted(store=STORE, document="AD-r-1", at=NOON),
    ]
    assert scene.states["cell", STORE, "apple"] == Cell(3, 3)
    assert scene.states["cell", STORE, "milk"] == Cell(5, 0)


@pytest.mark.parametrize(("spu", "delta"), [("apple", -6), ("milk", -2), ("bread", -1)])
def test_refused_when_less_than_nothing_would_be_left(spu: str, delta: int) -> None:
    """Pieces that never were cannot be counted away; the other lines of the count are not carried out either."""
    scene = shelf(apple=(5, 3), milk=(1, 0))
    refused = scene.when(count(("butter", 1), (spu, delta)))
    assert isinstance(refused, Refused)
    assert refused.code == "adjustment_below_zero"
    assert spu in refused.detail
    assert ("cell", STORE, "butter") not in scene.states


def test_refused_when_nothing_would_change() -> None:
    """Differences that come to nothing make no document."""
    assert shelf().when(count(("apple", 1), ("apple", -1), ("milk", 0))) == Refused("adjustment_empty")


def test_lines_that_come_to_nothing_are_left_out() -> None:
    """The document has only what changed."""
    document = shelf().says(count(("apple", 1), ("milk", 0)))[0]
    assert isinstance(document, Document)
    assert document.spus == ("apple",)


def test_refused_when_a_request_comes_twice() -> None:
    """One request, one document: who asks again under the same id changes no stock."""
    scene = shelf()
    scene.says(receipt(("apple", 1)))
    scene.says(count(("apple", 1)))  # the other kind of request has numbers of its own
    assert scene.when(receipt(("apple", 1))) == Refused("request_id_used")
    assert scene.when(count(("apple", 1))) == Refused("request_id_used")
    assert scene.states["cell", STORE, "apple"] == Cell(2, 0)


@pytest.mark.parametrize("quantity", [0, -1, 10_000_001, 1.5, True, "1"])
def test_malformed_when_a_quantity_is_none(quantity: object) -> None:
    """What cannot be a number of pieces is no message at all."""
    with pytest.raises(ValidationError):
        inventory.ReceiveGoods(request_id="r-1", store=STORE, spus=("apple",), quantities=(quantity,))  # type: ignore[arg-type]
