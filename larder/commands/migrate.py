"""`larder migrate`."""

import asyncio

import typer

from larder.say import say
from larder.stack import migrate as migrations
from larder.stack.home import Home
from larder.stack.topics import acknowledge_by_two, ensure_topics
from shared.settings import get_settings


def add_to(app: typer.Typer) -> None:
    """Adds migrate."""
    app.command()(migrate)


def migrate() -> None:
    """Bring databases and topics up to date with this checkout."""
    asyncio.run(_migrate())


async def _migrate() -> None:
    settings = get_settings()
    if not settings.token_secret:
        file = settings.token_secret_file or settings.home / "token.secret"
        Home.at(file.parent).secret(file.name)  # made once; the services read it from there
    await migrations.migrate(settings, say)
    made = await ensure_topics(settings.bootstrap(), settings.shards)
    say(f"made {len(made)} topics" if made else "all topics are there")
    await acknowledge_by_two(settings.bootstrap(), say)
    say("databases and topics are as this checkout wants them")
