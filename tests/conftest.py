"""What all tests share: the preface that says what they run against, and the real parts."""

import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from larder.stack.migrate import migrate
from larder.stack.topics import ensure_topics
from shared.settings import Settings, get_settings
from tests.parts import RealParts, real_parts, told, why_not

# A stack of the developer's own, or settings for it, must not leak into tests.
for name in [name for name in os.environ if name.startswith("LARDER_") and not name.startswith("LARDER_TEST_")]:
    del os.environ[name]
_home = tempfile.mkdtemp(prefix="larder-tests-")
os.environ["LARDER_HOME"] = _home
atexit.register(shutil.rmtree, _home, ignore_errors=True)
get_settings.cache_clear()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Says first which broker and which database are used, and what is left out."""
    ignored = config.getoption("ignore") or []
    left_out = [f"left out: {', '.join(ignored)} (`make chaos` and `make rehearse` run them)"] if ignored else []
    return [f"larder: {line}" for line in (*told(), *left_out)]


@pytest.fixture(scope="session")
async def parts() -> AsyncIterator[RealParts]:
    """A real broker and a real database, with the services' databases made and empty."""
    missing = why_not()
    if missing:
        pytest.skip(f"no broker to be had: {missing}")
    async with real_parts(Path(_home) / "parts") as found:
        yield found


@pytest.fixture(scope="session")
async def migrated(parts: RealParts) -> Settings:
    """Settings of the real parts, once all databases have their tables and all topics are made."""
    settings = parts.settings(Path(_home) / "parts")
    await migrate(settings, lambda line: None)
    await ensure_topics(settings.bootstrap(), settings.shards)
    return settings
