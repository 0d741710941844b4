"""One stack for all of these tests, on free ports and with short windows; what it does afterwards is tested last."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from larder.stack.home import Home
from shared.settings import PROCESSES
from tests.parts import why_not
from tests.system.driver import Stack
from tests.system.shop import Shop

WINDOWS = {
    "payment_window_s": 12,
    "after_sales_window_s": 4,
    "review_window_s": 5,
    "gateway_timeout_s": 2.5,
    "shortage_window_s": 10,
    "return_window_s": 10,
}
LAG_BOUND = 1_500
LAST = "test_afterwards.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What all tests together left behind is looked at when they are over."""
    items.sort(key=lambda item: item.path.parent == Path(__file__).parent and item.path.name == LAST)
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("stack")


@asynccontextmanager
async def running(**named: object) -> AsyncIterator[Stack]:
    """A running stack of its own home, with these settings besides."""
    if missing := why_not():
        pytest.skip(f"no broker to be had: {missing}")
    home = Path(tempfile.mkdtemp(prefix="larder-system-"))
    ports = {f"{name}_port": Home.at(home).port(f"http-{name}") for name in PROCESSES}
    stack = Stack(home, {**ports, **WINDOWS, **named})
    try:
        await stack.up()
        yield stack
    finally:
        await stack.down()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """The running stack."""
    async with running(lag_bound=LAG_BOUND) as stack:
        yield stack


@pytest.fixture
async def shop(stack: Stack) -> Shop:
    """A store of the test's own, with 100 pieces of each of two products."""
    return await Shop(stack).open()


@pytest.fixture
async def empty_shop(stack: Stack) -> Shop:
    """A store of the test's own, without goods."""
    return await Shop(stack).open(stock=0)
