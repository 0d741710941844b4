"""A flash sale as the order sees it: whose pieces are gone is asked anew, and what is sold out is told as that."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from services.order.promotions import Kind, Promotion
from services.order.state import Phase, SaleFact
from shared.contracts import aftersales, inventory, payment
from shared.contracts import order as ordering
from shared.contracts.base import MONEY_MAX
from shared.runtime.table import IGNORED
from tests.deciders.orders import only
from tests.deciders.prices import promotion
from tests.deciders.scene import NOON
from tests.deciders.street import Street

MILK = 129
TENTH = promotion(Kind.FLASH, "tenth", value=99, spus=frozenset({"milk"}))
FIFTH = replace(TENTH, id="fifth", value=109)
HALF = promotion(Kind.PERCENT, "half", value=50)
ON_SALE = inventory.OnSale(spus=("milk",), promotions=("tenth",))


def payable(*promotions: Promotion, gone: tuple[str, ...] = (), **quantities: int) -> Street:
    """An order that can be paid; the sales `gone` had no pieces left."""
    street = Street(promotions)
    street.from_shelf = gone
    assert not street.places("o-1", **(quantities or {"milk": 2}))
    street.rests()
    assert street.order("o-1").phase is Phase.AWAITING_PAYMENT
    return street


def click(street: Street) -> tuple[str, int]:
    """The customer clicks on what the order shows; where it stands then."""
    assert not street.clicks("o-1")
    street.rests()
    return street.stands("o-1")


def names(street: Street) -> list[str]:
    """The promotions in the order's price."""
    return [one.promotion for one in street.order("o-1").discounts.applied]


# -- price and hold ----------------------------------------------------------------------------------------------------


def test_flash_line_is_first_paid_first_served_and_stands_alone() -> None:
    """Whatever risk says; nothing else changes that line, and it helps no minimum."""
    street = payable(TENTH, HALF, promotion(Kind.AMOUNT_OFF, "off", value=10, min_total=176), milk=2, bread=1)
    hold = only(inventory.HoldStock, street.heard)
    assert (hold.mode, hold.on_sale) == ("on_payment", ON_SALE)
    assert (names(street), street.order("o-1").total) == (["tenth", "half"], 2 * 99 + 174)
    click(street)
    assert only(inventory.VerifyStock, street.heard).on_sale == ON_SALE


def test_lowest_of_several_sales_applies() -> None:
    """Of equals the first by id; one that is dearer than the goods are is none."""
    assert names(payable(FIFTH, TENTH)) == ["tenth"]
    assert names(payable(TENTH, replace(TENTH, id="another"))) == ["another"]
    assert names(payable(replace(TENTH, value=MILK))) == []


def test_more_pieces_than_an_account_may_have_cost_what_they_cost() -> None:
    """Not some of them at its price: the next price applies to the line, and the sale is refused to the order."""
    street = payable(replace(TENTH, per_account=2), HALF, milk=3)
    assert (names(street), street.order("o-1").discounts.denied) == (["half"], ("tenth",))
    assert only(inventory.HoldStock, street.heard).on_sale is None


def test_sale_of_many_goods_is_refused_as_a_whole() -> None:
    """Three and three are one more than five: what is seen when it is placed is what is paid."""
    street = payable(replace(TENTH, spus=frozenset(), per_account=5, value=90), milk=3, oat=3)
    assert names(street) == []
    assert click(street) == ("awaiting_picking", 3 * MILK + 3 * 140)


# -- gone --------------------------------------------------------------------------------------------------------------


def test_gone_before_it_is_held() -> None:
    """The shelf has some: the order can be paid at the next price, and is not priced with that sale again, though
    somebody gave a piece back."""
    street = payable(TENTH, gone=("tenth",))
    assert street.stands("o-1") == ("awaiting_payment", 2 * MILK)
    street.from_shelf = ()
    assert click(street) == ("awaiting_picking", 2 * MILK)
    assert only(inventory.VerifyStock, street.heard).on_sale is None


def test_gone_before_it_is_verified() -> None:
    """The customer is asked anew, and no money has moved."""
    street = payable(TENTH)
    street.from_shelf = ("tenth",)
    assert click(street) == ("awaiting_payment", 2 * MILK)
    assert street.takes("o-1") == []
    assert click(street) == ("awaiting_picking", 2 * MILK)


def test_next_sale_takes_the_place_of_one_that_is_gone() -> None:
    """At its own price, and only with its own pieces: the customer confirms each price."""
    street = payable(TENTH, FIFTH, gone=("tenth",))
    assert (street.stands("o-1"), names(street)) == (("awaiting_payment", 2 * 109), ["fifth"])
    street.from_shelf = ("tenth", "fifth")
    assert click(street) == ("awaiting_payment", 2 * MILK)
    assert set(street.order("o-1").discounts.denied) == {"tenth", "fifth"}
    assert click(street) == ("awaiting_picking", 2 * MILK)


def test_gone_at_no_other_price_is_confirmed_all_the_same() -> None:
    """Half off comes to what the sale did: nothing is paid for the sale's pieces with the shelf's."""
    street = payable(replace(TENTH, value=64), promotion(Kind.AMOUNT_OFF, "off", value=2 * (MILK - 64)))
    assert street.order("o-1").total == 2 * 64
    street.from_shelf = ("tenth",)
    assert click(street) == ("awaiting_payment", 2 * 64)
    assert names(street) == ["off"]
    assert click(street) == ("awaiting_picking", 2 * 64)


def test_gone_and_the_ordinary_price_has_outgrown_every_payment() -> None:
    """The order ends, without money."""
    street = payable(TENTH)
    street.costs(milk=MONEY_MAX)
    street.from_shelf = ("tenth",)
    street.clicks("o-1")
    street.rests()
    assert (street.stands("o-1")[0], street.takes("o-1")) == ("cancelled", [])
    assert only(ordering.OrderCancelled, street.heard).reason == "total_too_large"


def test_sale_over_before_the_click() -> None:
    """The ordinary price; its pieces are asked for no more."""
    street = payable(TENTH)
    street.scene.later(3600)
    assert click(street) == ("awaiting_payment", 2 * MILK)
    assert click(street) == ("awaiting_picking", 2 * MILK)
    assert [m.on_sale for m in street.heard if isinstance(m, inventory.VerifyStock)] == [ON_SALE, None]


def test_sale_begun_after_the_hold() -> None:
    """Stock that was locked before is the shelf's: inventory says that the sale has none for it, and the order is what
    it was."""
    street = payable()
    street.writes(TENTH)
    assert click(street) == ("awaiting_payment", 2 * 99)
    street.from_shelf = ("tenth",)
    assert click(street) == ("awaiting_payment", 2 * MILK)
    assert click(street) == ("awaiting_picking", 2 * MILK)


def test_paid_and_sold_out_gives_all_money_and_the_claim_back() -> None:
    """Somebody paid first: in full, and the pieces may be tried for again."""
    street = payable(replace(TENTH, per_account=2))
    street.stock = "sold_out"
    street.clicks("o-1")
    street.rests()
    assert only(ordering.ClaimPromotions, street.heard).claims[0].units == 2
    assert (street.stands("o-1")[0], street.order("o-1").reason) == ("cancelled", "sold_out")
    assert (only(payment.RefundPayment, street.heard).amount, street.takes("o-1")) == (2 * 99, [2 * 99])
    assert street.claims("tenth") == {}


# -- sold out ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sale", "reason"),
    [
        (TENTH, "sold_out"),
        (replace(TENTH, ends_at=NOON), "out_of_stock"),
        (replace(TENTH, starts_at=NOON + timedelta(minutes=1)), "out_of_stock"),
        (replace(TENTH, stores=frozenset({"s-2"})), "out_of_stock"),
        (replace(TENTH, spus=frozenset({"bread"})), "out_of_stock"),
    ],
)
def test_short_of_what_is_on_sale_is_sold_out(sale: Promotion, reason: str) -> None:
    """Of anything else it is out of stock."""
    street = Street([sale])
    street.places("o-1", milk=2)
    street.arrives(("o-1", "shop"))
    street.arrives(("shop", "o-1"))
    street.hears(inventory.StockShort(order_id="o-1", spus=("milk",), missing=(1,)))
    assert only(ordering.OrderRejected, street.heard).reason == reason


def test_replacement_is_short_and_not_sold_out() -> None:
    """A replacement order is in no sale: its ticket hears that there is no stock."""
    street = payable(TENTH)
    click(street)
    street.delivers_and_replaces("milk", 99)
    street.hears(inventory.StockShort(order_id="o-1~r1", spus=("milk",), missing=(1,)))
    assert street.order("o-1~r1").phase is Phase.REJECTED
    assert only(aftersales.ReopenTicket, street.heard).note == "out_of_stock"


# -- the stores are told -----------------------------------------------------------------------------------------------


def test_stores_are_told_until_when_a_sale_is_on() -> None:
    """Every one that it is for, with the end as it is written now; told twice it is said twice."""
    street = Street()
    street.scene.states["sale", "tenth"] = SaleFact(NOON, ("s-1", "s-2"))
    for _ in range(2):
        assert street.scene.says(ordering.TellSale(promotion="tenth")) == [
            inventory.AnnounceSale(store=store, promotion="tenth", ends_at=NOON) for store in ("s-1", "s-2")
        ]


def test_a_store_that_a_sale_is_for_no_more_is_told_that_it_ends_now() -> None:
    """Its pieces go back to the shelf."""
    street = Street()
    street.scene.states["sale", "tenth"] = SaleFact(NOON + timedelta(hours=1), ("s-1",), ("s-2",))
    said = street.scene.says(ordering.TellSale(promotion="tenth"))
    ends = {told.store: told.ends_at for told in said if isinstance(told, inventory.AnnounceSale)}
    assert ends == {"s-1": NOON + timedelta(hours=1), "s-2": street.scene.now}


def test_nobody_is_told_of_what_is_no_sale() -> None:
    """There is none of this name."""
    assert Street().scene.when(ordering.TellSale(promotion="tenth")) == IGNORED
