"""One stack for all of these tests, on free ports and with short windows.

`make test` runs a short version; `LARDER_TEST_CHAOS=long` kills more often, under a longer load.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from larder.stack.home import Home
from shared.settings import PROCESSES
from tests.chaos.reaper import Mortal
from tests.parts import why_not

WINDOWS = {
    "payment_window_s": 8,
    "after_sales_window_s": 3,
    "gateway_timeout_s": 2,
    "shortage_window_s": 6,
    "return_window_s": 6,
}
LONG = os.environ.get("LARDER_TEST_CHAOS") == "long"


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether there is time for many deaths."""
    return LONG


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Mortal]:
    """The running stack."""
    if missing := why_not():
        pytest.skip(f"no broker to be had: {missing}")
    home = Path(tempfile.mkdtemp(prefix="larder-chaos-"))
    ports = {f"{name}_port": Home.at(home).port(f"http-{name}") for name in PROCESSES}
    stack = Mortal(home, {**ports, **WINDOWS})
    try:
        await stack.up()
        yield stack
    finally:
        await stack.down()
        shutil.rmtree(home, ignore_errors=True)
