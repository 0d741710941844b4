"""Which rules risk's worker screens with, of all versions in its table."""

from datetime import UTC, datetime

import pytest

from larder.stack.migrate import connect
from services.risk.decider import RULES
from services.risk.store import RiskStore
from shared.settings import Settings

pytestmark = pytest.mark.parts


async def test_the_tenth_version_follows_the_ninth(migrated: Settings) -> None:
    """Versions are numbers: the newest is the largest, not the one that a dictionary has last."""
    book = await connect(migrated.dsn("risk"), "risk")
    try:
        await book.executemany(
            "insert into rule_sets (version, rules, change, name, reason, changed_by) "
            "values ($1, $2, 'put', '', '', '')",
            [(version, '{"rules": {}, "levels": {}}') for version in range(1, 12)],
        )
        loaded = await RiskStore().load_many(book, [RULES], datetime.now(UTC))
        assert loaded[RULES].version == 11
    finally:
        await book.execute("delete from rule_sets")
        await book.close()
