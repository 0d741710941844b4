"""Marketing: promotions, coupons, flash sales, goods that are still to come, rushes and pauses; and what customers make
of them.

In one evening of three there is none of it, and no evening has all. Its dice are its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from msgspec.structs import replace

from larder.simulation.clock import NOON
from larder.simulation.people import Desk
from larder.simulation.shop import Shop
from services.order.promotions import Kind, Promotion, Rush
from shared.contracts import inventory, logistics, payment
from shared.contracts import order as ordering
from shared.contracts.base import Slot
from shared.runtime.envelope import Delivery as Record

SHARES = {"promotions": 0.6, "coupons": 0.6, "flash": 0.4, "presale": 0.4, "rush": 0.2, "pause": 0.15}
"""How many of the evenings with marketing have what."""
MARKETED = 0.67
"""How many evenings have any."""
SOON_S, LATE_S = 15.0, 900.0
"""Changes come while baskets are placed, or while they are paid."""
OPENS = NOON - timedelta(hours=1)
LASTS = timedelta(days=30)
CATEGORIES = ("dairy", "fruit", "other")
COUPONS = ("coup-0", "coup-1", "coup-2")
"""Codes that customers know of. They are told of one more, that there is not."""
CROWDS = 0.8
"""How much of the crowd of a flash sale comes to one store, and now."""
TOGETHER_S = 10.0
"""In some evenings everybody clicks when the hand of the clock is here."""
REFUSES = 0.15
"""How often a customer does not want an order at another total."""
COMES_LATER = 0.5
"""How many customers of an evening with coupons come later."""
HOUSEHOLD = 0.5
"""The share of evenings with coupons or promotions in which one person orders nearly everything: limits bite."""


class Marketing:
    """Writes what changes prices, and tempts customers."""

    def __init__(self, desk: Desk, shop: Shop, slots: list[Slot], seed: int) -> None:
        self.desk, self.shop, self.slots = desk, shop, slots
        self.dice = dice = Random(f"marketing {seed}")
        is_on = dice.random() < MARKETED
        self.has = {what for what, share in SHARES.items() if dice.random() < share and is_on}
        if not slots:
            self.has -= {"presale"}
        self.together = dice.random() < (0.8 if "flash" in self.has else 0.5)
        self.is_household = bool(self.has & {"promotions", "coupons"}) and dice.random() < HOUSEHOLD
        if self.is_household:
            desk.around.log.watch(payment.PaymentDeclined.TYPE, self._change_between_clicks)
        self.crowd: set[str] = set()
        """Orders that are meant: they pay, and do not change their minds."""
        self._totals: dict[str, int] = {}
        self._sales: dict[str, str] = {}
        """What flash sales sell."""
        self._ids = 0

    def begin(self) -> None:
        """Writes what there is when the shop opens, and plans what changes."""
        plans: dict[str, Callable[[], None]] = {
            "promotions": self._begin_promotions,
            "coupons": self._begin_coupons,
            "flash": self._begin_sales,
            "presale": self._announce_goods,
            "rush": self._plan_rushes,
            "pause": self._plan_pauses,
        }
        if self.has:
            for spu in self.shop.prices:
                self.shop.categories[spu] = self.dice.choice(CATEGORIES)
        for what, begin in plans.items():
            if what in self.has:
                begin()

    def _at_any_time(self, act: Callable[[], None], times: tuple[int, ...] = (0, 1, 1, 2)) -> None:
        for _ in range(self.dice.choice(times)):
            self.desk.after(self.dice.random() * self.dice.choice((SOON_S, LATE_S)), act)

    @property
    def _now(self) -> datetime:
        return self.desk.around.clock.now

    # -- promotions and coupons ------------------------------------------------------------------------------------

    def _begin_promotions(self) -> None:
        dice = self.dice
        for number in range(dice.randint(1, 4)):
            kind = dice.choice((Kind.PERCENT, Kind.BUY_N_PAY_M, Kind.AMOUNT_OFF))
            begins = OPENS if dice.random() < 0.8 else NOON + timedelta(seconds=dice.random() * SOON_S)
            fields: dict[str, Any] = {"per_account": dice.choice((0, 0, 1, 1, 2))}
            fields |= {"min_total": dice.choice((0, 0, 150, 400)), **self._scope()}
            self._write(Promotion(f"promo-{number}", 0, kind, begins, self._end(), **fields))
        self._at_any_time(self._change_promotion, (1, 2, 3))

    def _begin_coupons(self) -> None:
        dice = self.dice
        for code in COUPONS[: dice.randint(1, len(COUPONS))]:
            account = f"a-{dice.randrange(3)}" if dice.random() < 0.2 else ""
            fields: dict[str, Any] = {"account": account, "per_account": 1, "min_total": dice.choice((0, 0, 0, 200))}
            fields |= self._scope() if dice.random() < 0.3 else {}
            self._write(Promotion(code, 0, Kind.COUPON, OPENS, self._end(), **fields))
        self._at_any_time(self._change_promotion, (0, 0, 1))

    def _end(self) -> datetime:
        """Most promotions outlive the evening; others end while they are in baskets."""
        dice = self.dice
        within_s = dice.choice((SOON_S, LATE_S)) * dice.random()
        return NOON + (LASTS if dice.random() < 0.7 else timedelta(seconds=within_s))

    def _scope(self) -> dict[str, frozenset[str]]:
        dice = self.dice
        spus, stores = list(self.shop.prices), list(self.shop.areas)
        scope = {}
        if (about := dice.random()) < 0.4:
            scope["spus"] = frozenset(dice.sample(spus, dice.randint(1, len(spus))))
        elif about < 0.6:
            scope["categories"] = frozenset(dice.sample(CATEGORIES, dice.randint(1, 2)))
        if dice.random() < 0.2:
            scope["stores"] = frozenset(dice.sample(stores, 1))
        return scope

    def _write(self, promotion: Promotion) -> None:
        """Writes it with a value of its kind; what it was before stays readable."""
        dice, kind = self.dice, promotion.kind
        value, n, m = 0, 0, 0
        if kind is Kind.PERCENT:
            value = dice.choice((0, 5, 10, 33, 50, 100))
        elif kind is Kind.BUY_N_PAY_M:
            n, m = dice.choice(((2, 1), (3, 2), (3, 1)))
        elif kind is Kind.FLASH:
            value = dice.choice((0, 1, 49, 50, 99))
        else:
            value = dice.choice((1, 50, 101, 130, 100_000))
        self._keep(replace(promotion, value=value, n=n, m=m))

    def _keep(self, promotion: Promotion) -> None:
        before = self.shop.promotions.get(promotion.id)
        revised = replace(promotion, revision=before.revision + 1 if before else 1)
        self.shop.put_promotion(revised, self._now)
        if promotion.kind is Kind.FLASH:
            self.desk.send(ordering.TellSale(promotion=promotion.id), "admin:office")

    def _change_promotion(self) -> None:
        """A new value; a new end, perhaps an earlier one; or it ends now."""
        dice = self.dice
        promotion = dice.choice(list(self.shop.promotions.values()))
        if (what := dice.random()) < 0.5:
            self._write(promotion)
        elif what < 0.75:
            self._keep(replace(promotion, ends_at=max(self._end(), promotion.starts_at)))
        elif promotion.ends_at > self._now:
            self._keep(replace(promotion, ends_at=max(self._now, promotion.starts_at)))

    def _change_between_clicks(self, record: Record) -> None:
        """A customer's money did not come. When he clicks again, something that he had claimed is over."""
        limited = [p for p in self.shop.promotions.values() if p.per_account and p.ends_at > self._now]
        if limited and record.link and self.dice.random() < 0.6:
            promotion = self.dice.choice(limited)
            self._keep(replace(promotion, ends_at=max(self._now, promotion.starts_at)))

    # -- flash sales -----------------------------------------------------------------------------------------------

    def _begin_sales(self) -> None:
        dice = self.dice
        for number in range(dice.choice((1, 1, 2))):
            spu = dice.choice([s for s in self.shop.prices if s not in self._sales.values()])
            self._sales[id_ := f"flash-{number}"] = spu
            begins = OPENS if dice.random() < 0.8 else NOON + timedelta(seconds=dice.random() * SOON_S)
            ends = NOON + timedelta(seconds=dice.choice((20, 300, 900, 4_000)) * (0.5 + dice.random()))
            stores = frozenset(dice.sample(list(self.shop.areas), 1)) if dice.random() < 0.2 else frozenset()
            limit = dice.choice((0, 0, 1, 2, 3))
            promotion = Promotion(
                id_, 0, Kind.FLASH, begins, ends, spus=frozenset({spu}), stores=stores, per_account=limit
            )
            if dice.random() < 0.7:
                self._write(promotion)
            else:
                self.desk.after(dice.random() * SOON_S, partial(self._write, promotion))
            for store in sorted(stores) or self.shop.areas:
                self._request(inventory.ReceiveGoods, store, 0.0, spu, dice.choice((5, 20)))
                self._allot(store, id_, 0.2 + dice.random() * 2.0)
                if dice.random() < 0.4:
                    self._allot(store, id_, dice.random() * dice.choice((SOON_S, LATE_S)))
        self._at_any_time(self._change_sale, (0, 0, 1))

    def _allot(self, store: str, promotion: str, after_s: float) -> None:
        """Few pieces, so that they are sold out; the first time, or more, or fewer. Now and then of what it does not
        sell, or more than there is."""
        dice = self.dice
        spu = self._sales[promotion] if dice.random() < 0.95 else dice.choice(list(self.shop.prices))
        quantity = dice.choice((1, 2, 2, 3, 3, 4, 8, 100))
        request = inventory.SetAllotment(
            request_id=self._request_id(), store=store, promotion=promotion, spu=spu, quantity=quantity
        )
        self.desk.send(request, f"storekeeper:{store}", after_s=after_s)

    def _change_sale(self) -> None:
        """Another price, or it ends now."""
        dice = self.dice
        promotion = self.shop.promotions.get(dice.choice(list(self._sales)))
        if promotion is None:
            return
        if dice.random() < 0.5:
            self._write(promotion)
        else:
            self._keep(replace(promotion, ends_at=max(self._now, promotion.starts_at)))

    def _request_id(self) -> str:
        self._ids += 1
        return f"m-{self._ids}"

    # -- goods that are still to come ------------------------------------------------------------------------------

    def _announce_goods(self) -> None:
        """One SPU cannot be had yet. What is promised comes before its day, or too late; all of it, or less."""
        dice = self.dice
        spu, begins_s = dice.choice(list(self.shop.prices)), (dice.choice(self.slots).start - NOON).total_seconds()
        comes_s = begins_s * (0.5 + 0.5 * dice.random())
        self.shop.available_from[spu] = NOON + timedelta(seconds=comes_s)
        places = tuple(
            logistics.SlotPlaces(start=slot.start, end=slot.end, places=dice.choice((3, 9))) for slot in self.slots
        )
        for store in self.shop.areas:
            self.desk.send(logistics.SetSlots(store=store, slots=places), f"storekeeper:{store}", after_s=dice.random())
            expected = dice.choice((1, 3, 5, 8))
            self._request(inventory.ExpectGoods, store, dice.random() * 2.0, spu, expected)
            if dice.random() < 0.3:
                self._request(inventory.ExpectGoods, store, dice.random() * comes_s, spu, dice.choice((0, 1, 4, 10)))
            came = expected if dice.random() < 0.5 else dice.choice((0, 1, 2, 10))
            while came:
                some = came if dice.random() < 0.7 else dice.randint(1, came)
                self._request(inventory.ReceiveGoods, store, comes_s * (0.6 + 0.5 * dice.random()), spu, some)
                came -= some

    def _request(
        self,
        command: type[inventory.ExpectGoods | inventory.ReceiveGoods],
        store: str,
        after_s: float,
        spu: str,
        quantity: int,
    ) -> None:
        request = command(request_id=self._request_id(), store=store, spus=(spu,), quantities=(quantity,))
        self.desk.send(request, f"storekeeper:{store}", after_s=after_s)

    # -- rushes and pauses -----------------------------------------------------------------------------------------

    def _plan_rushes(self) -> None:
        self._rush()
        self._at_any_time(self._rush)

    def _rush(self) -> None:
        """Some of them are of one store or of some goods; a second word on one changes it, or takes it back."""
        dice, id_ = self.dice, f"rush-{self.dice.randrange(2)}"
        if id_ in self.shop.rushes and dice.random() < 0.5:
            self.shop.set_rush(id_, None, self._now)
            return
        store = dice.choice(list(self.shop.areas)) if dice.random() < 0.3 else ""
        spus = frozenset(dice.sample(list(self.shop.prices), 1)) if dice.random() < 0.3 else frozenset()
        begins = NOON + timedelta(seconds=dice.choice((0.0, SOON_S, LATE_S)) * dice.random())
        ends = begins + timedelta(seconds=dice.choice((SOON_S, LATE_S)) * dice.random())
        self.shop.set_rush(id_, Rush(id_, store, spus, begins, ends), self._now)

    def _plan_pauses(self) -> None:
        self._at_any_time(self._pause, (1, 1, 2))

    def _pause(self) -> None:
        until = self._now + timedelta(seconds=self.dice.choice((3.0, SOON_S, LATE_S)) * self.dice.random())
        self.shop.pause(self.dice.choice(list(self.shop.areas)), until, self._now)

    # -- customers -------------------------------------------------------------------------------------------------

    def tempt(self, order: ordering.PlaceOrder) -> ordering.PlaceOrder:
        """What the customer makes of it: names coupons, buys more, joins the crowd, waits for what is to come."""
        if not self.has:
            return order
        dice = self.dice
        changed: dict[str, Any] = {}
        if self.is_household and dice.random() < 0.8:
            changed["account"] = "a-0"
        spus, quantities = list(order.spus), list(order.quantities)
        if "promotions" in self.has and dice.random() < 0.4:
            quantities = [q * dice.choice((1, 2, 3)) for q in quantities]
        if self._sales and dice.random() < 0.7:
            spu = dice.choice(list(self._sales.values()))
            others = dice.random() < 0.4
            spus, quantities = [spu, *spus[:others]], [dice.choice((1, 1, 1, 2, 3)), *quantities[:others]]
            if dice.random() < CROWDS:
                self.crowd.add(order.order_id)
                changed |= {"store": next(iter(self.shop.areas)), "delivery": None, "slot": None}
        if self.shop.available_from and dice.random() < 0.6:
            spu, others = next(iter(self.shop.available_from)), dice.random() < 0.4
            spus, quantities = [*spus[:others], spu], [*quantities[:others], dice.choice((1, 2))]
            if dice.random() < 0.9:
                day = self.shop.available_from[spus[-1]]
                changed["slot"] = dice.choice([slot for slot in self.slots if slot.start >= day])
        if "coupons" in self.has and dice.random() < (0.2 if order.order_id in self.crowd else 0.8):
            changed["coupons"] = tuple(dice.sample((*COUPONS, "coup-of-the-moon"), dice.choice((1, 1, 1, 2))))
            if dice.random() < 0.9:
                changed["coupons"] = tuple(c for c in changed["coupons"] if c in self.shop.promotions)
        return order.model_copy(update={**changed, "spus": tuple(spus), "quantities": tuple(quantities)})

    def comes(self, placed_s: float) -> float:
        """Where there are coupons, some come when others have used theirs."""
        if "coupons" not in self.has or self.dice.random() >= COMES_LATER:
            return placed_s
        return self.dice.random() * self.dice.choice((60.0, LATE_S))

    def pays(self, order_id: str, methods: list[str]) -> list[str]:
        """A crowd has its money ready. Elsewhere a card is declined first: prices change before the next click."""
        if order_id in self.crowd:
            return ["tok_ok"] * 4
        if not self.is_household or not methods or self.dice.random() >= 0.4:
            return methods
        return ["tok_declined", *methods[1:]]

    def wants(self, order_id: str, total: int) -> bool:
        """Does the customer still want an order at this total? Only another one than before is a question."""
        before = self._totals.get(order_id, total)
        self._totals[order_id] = total
        return not self.has or before == total or self.dice.random() >= REFUSES

    def waits(self, seconds: float) -> float:
        """When everybody clicks together, that is when."""
        if not (self.has and self.together):
            return seconds
        at_s = self.desk.around.clock.now_us / 1_000_000 + seconds
        return seconds + (-at_s) % TOGETHER_S
