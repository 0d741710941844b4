"""Whoever reports money and is wrong about it: another order's capture, another amount, key or time, money that nobody
took, an order that never was. And a gateway that took money for such an order, and says the truth.

Every lie must be kept as a contradiction and move nothing; of everything else the books must say what the gateway says.
"""

from __future__ import annotations

from datetime import timedelta

from larder.simulation.gateway import Gateway
from larder.simulation.people import Desk
from services.payment.gateway import CaptureReported
from services.payment.simulator.book import Capture, Charge, capture_reference
from shared.contracts import payment

WITHIN_S = 700.0
"""Lies come within this time."""
AGAIN_S = 60.0
"""A lie may be told again, as something new, within this time."""


class Liar:
    """Tells `weather.lies` lies in an evening; `lies` are those told, `nobodys` the money of orders that never were."""

    def __init__(self, desk: Desk, gateway: Gateway, orders: list[str]) -> None:
        self.desk = desk
        self.gateway = gateway
        self.orders = orders
        self.dice = desk.dice
        self.lies: list[CaptureReported] = []
        self.nobodys: list[Capture] = []
        self._count = 0

    def begin(self) -> None:
        """Plans what is told when."""
        for _ in range(self.desk.around.weather.lies if self.orders else 0):
            self.desk.after(self.dice.random() * WITHIN_S, self._speak)

    def _speak(self) -> None:
        self._count += 1
        self.dice.choice((self._twist, self._twist, self._twist, self._invent, self._foretell, self._take_nobodys))()

    def _twist(self) -> None:
        """Money that there is, and one thing about it that is not so."""
        if not self.gateway.book.captures:
            return
        c = self.dice.choice(list(self.gateway.book.captures.values()))
        other = self.dice.choice([o for o in [*self.orders, f"nobody-{self._count}"] if o != c.order_id])
        what = self.dice.choice(
            (
                CaptureReported(c.reference, other, c.key, c.amount, c.at),
                CaptureReported(c.reference, other, f"{other}:1", c.amount, c.at),
                CaptureReported(c.reference, c.order_id, c.key, c.amount + self.dice.randint(1, 99), c.at),
                CaptureReported(c.reference, c.order_id, f"{c.key}0", c.amount, c.at),
                CaptureReported(c.reference, c.order_id, c.key, c.amount, c.at + timedelta(seconds=1)),
            )
        )
        self._tell(what)

    def _invent(self) -> None:
        """Money that nobody took, for an order that may be waiting for it."""
        order_id = self.dice.choice(self.orders)
        at = self.gateway.around.clock.now
        self._tell(CaptureReported(f"cap_dream-{self._count}", order_id, f"{order_id}:1", 100, at))

    def _foretell(self) -> None:
        """Money that the gateway may be about to take, and not at that price."""
        order_id = self.dice.choice(self.orders)
        key = f"{order_id}:1"
        self._tell(CaptureReported(capture_reference(key), order_id, key, 1, self.gateway.around.clock.now))

    def _take_nobodys(self) -> None:
        """No lie at all: somebody else's mistake at the gateway."""
        order_id = f"nobody-{self._count}"
        charge = Charge(f"elsewhere-{self._count}", order_id, self.dice.randint(1, 999), "EUR", "tok_ok")
        capture = self.gateway.take_for_nobody(charge)
        self.nobodys.append(capture)

    def _tell(self, lie: CaptureReported) -> None:
        if lie not in self.lies:
            self.lies.append(lie)
        message = payment.ReportMoney(
            order_id=lie.order_id, reference=lie.reference, attempt_key=lie.key, amount=lie.amount, at=lie.at
        )
        self.desk.send(message, "gateway:", id=f"lie-{self._count}")
        if self.dice.random() < 0.3:
            self.desk.send(message, "gateway:", id=f"lie-{self._count}-again", after_s=self.dice.random() * AGAIN_S)
