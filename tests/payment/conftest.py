"""The gateway simulator over each of its books."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

import services.payment.gateway as port
from services.payment.simulator.bookkeeper import Bookkeeper, Clock, MemoryBookkeeper, utc_now
from services.payment.simulator.front import GatewaySimulator
from services.payment.simulator.postgres import PostgresBookkeeper
from tests.parts import RealParts
from tests.payment.controls import StandingClock, over

SCHEMA = Path(port.__file__).with_name("gateway.sql")


@pytest.fixture(scope="session")
async def book_dsn(parts: RealParts) -> str:
    """A database with the gateway's tables."""
    dsn = await parts.fresh_database()
    connection = await asyncpg.connect(dsn)
    await connection.execute(SCHEMA.read_text())
    await connection.close()
    return dsn


@pytest.fixture
async def rows(book_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the test's own to an empty book."""
    connection = await asyncpg.connect(book_dsn)
    await connection.execute("truncate intents, captures, pending_captures, refunds, refused_refunds, webhooks")
    yield connection
    await connection.close()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.parts)])
def keeper_of(request: pytest.FixtureRequest) -> Callable[..., Bookkeeper]:
    """Makes a bookkeeper with an empty book, of each kind; takes the clock to keep it by."""
    if request.param == "memory":
        return MemoryBookkeeper
    request.getfixturevalue("rows")
    dsn = request.getfixturevalue("book_dsn")

    def keeper(clock: Clock = utc_now) -> Bookkeeper:
        return PostgresBookkeeper(dsn, clock=clock)

    return keeper


@pytest.fixture
def clock() -> StandingClock:
    """The clock of `gateway`."""
    return StandingClock()


@pytest.fixture
async def gateway(keeper_of: Callable[..., Bookkeeper], clock: StandingClock) -> AsyncIterator[GatewaySimulator]:
    """A running simulator on a standing clock, over each kind of book."""
    async with over(keeper_of(clock), clock=clock) as simulator:
        yield simulator
