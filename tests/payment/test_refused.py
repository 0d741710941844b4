"""The alarm for refused refunds: what a person still has to see to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.payment.refused import refused
from shared.settings import Settings

pytestmark = pytest.mark.parts


@pytest.fixture
async def books(migrated: Settings) -> AsyncIterator[asyncpg.Connection]:
    """Payment's database; what a test writes there is taken back."""
    connection = await asyncpg.connect(migrated.dsn("payment"))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("delete from refunds")
    yield connection
    await transaction.rollback()
    await connection.close()


async def keep(books: asyncpg.Connection, number: int, phase: str, amount: int = 500, reason: str = "short") -> None:
    """A refund of the one order."""
    await books.execute(
        "insert into refunds (order_id, number, phase, amount, capture, reason, liable)"
        " values ('o-1', $1, $2, $3, 'cap-1', $4, 'store')",
        number, phase, amount, reason,
    )  # fmt: skip


async def test_a_refused_refund_wants_a_person(books: asyncpg.Connection) -> None:
    """Until somebody asks for it again."""
    await keep(books, 1, "refused")
    await keep(books, 2, "refunded", amount=700)
    assert await refused(books) == 1


async def test_asked_for_again_the_last_one_counts(books: asyncpg.Connection) -> None:
    """Done, the alarm is over; refused again, it is one alarm and not two."""
    await keep(books, 1, "refused")
    await keep(books, 2, "refused")
    assert await refused(books) == 1
    await keep(books, 3, "refunded")
    assert await refused(books) == 0


async def test_another_refund_does_not_quiet_it(books: asyncpg.Connection) -> None:
    """Money that went back for something else is not this money."""
    await keep(books, 1, "refused")
    await keep(books, 2, "refunded", reason="cancelled_by_customer")
    assert await refused(books) == 1
