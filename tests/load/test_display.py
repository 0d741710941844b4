"""What is shown while a load runs."""

import io

import pytest
from rich.console import Console

from larder.load.display import Plain, standing
from larder.load.evening import Evening
from larder.load.figures import End, Figures
from larder.load.mix import Tail
from larder.load.play import Ready
from larder.load.robots import Robots

BASKET = Ready("s-1", "a-1", 3, b',"account":"a-1","store":"s-1","spus":["1","2"],"quantities":[2,1]}')


def begun() -> tuple[Robots, Figures]:
    figures = Figures()
    robots = Robots("r", figures, lambda topic, partition, wire: None, shards=1)
    for tail in (Tail.PAYS, Tail.CANCELS_AT_ONCE):
        robots.place(BASKET, tail, 1.0)
    figures.ended(End.COMPLETED, 2.0)
    return robots, figures


def test_the_line_tells_how_far_a_load_is():
    """Placed, ended, speed, and only the steps at which there are orders."""
    line = standing(3.0, *begun(), 10)
    for part in ("placed 2 of 10", "ended 1", "placing 1", "cancelling 1"):
        assert part in line
    assert "paying" not in line
    assert "sent again" not in line


def test_plain_lines_come_now_and_then():
    """A log gets a line every two seconds, however often it is asked."""
    file = io.StringIO()
    with Plain(file) as display:
        for tenth in range(45):
            display.tick(10 + tenth / 10, *begun(), 10)
    assert len(file.getvalue().splitlines()) == 3


@pytest.mark.parametrize(("rows", "with_story"), [(40, True), (20, True), (14, False)])
def test_the_evening_fits_the_terminal(rows, with_story):
    """The demo's display shows phases, figures and, when there is room, what happened last with the goods' names."""
    file = io.StringIO()
    console = Console(file=file, width=100, height=rows, force_terminal=True)
    robots, figures = begun()
    with Evening({"1": ("BANANAS", "FRUIT")}, "EUR", console) as evening:
        (order, *_) = robots.orders.values()
        order.basket, order.total = BASKET, 699
        evening.tell(order, b"OrderPaid", 5.0)
        evening.tell(order, b"OrderClosed", 5.1)  # too soon after the other
        evening.tick(5.2, robots, figures, 10)
    shown = file.getvalue()
    for part in ("orders by phase", "placing", "lives per second", "1 of 10 orders have ended"):
        assert part in shown
    assert ("bananas, spu 2" in shown) == with_story
    assert ("is paid" in shown) == with_story
    assert "is closed" not in shown
    last_frame = shown.split("orders by phase")[-1]
    assert last_frame.count("\n") < rows
