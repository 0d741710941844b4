"""`larder topics`."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from larder.say import say
from larder.stack.home import Home
from larder.stack.topics import news
from shared.settings import get_settings, settings_without_stack


def add_to(app: typer.Typer) -> None:
    """Adds topics."""
    app.command()(topics)


def topics(
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="For a broker that lost its log for good, with the services stopped: give it what the outboxes hold.",
        ),
    ] = False,
    despite_loss: Annotated[
        bool, typer.Option("--despite-loss", help="With --adopt: go on without messages that nobody can publish again.")
    ] = False,
) -> None:
    """List the topics, and who lags behind. Partitions, copies, records ever written, and who has not read them all."""
    if adopt:
        asyncio.run(_adopt(despite_loss))
        return
    told = asyncio.run(news(get_settings().bootstrap()))
    if as_json:
        say(json.dumps([asdict(topic) for topic in told]))
        return
    say(f"{'topic':<22} {'partitions':>10} {'copies':>6} {'in sync':>7} {'end offsets':>14}  behind")
    for topic in told:
        ends = ",".join(map(str, topic.end_offsets)) or "not told"
        behind = ", ".join(f"{group} {lag}" for group, lag in topic.lag.items()) or "-"
        copies = f"{topic.copies:>6} {topic.in_sync:>7}"
        say(f"{topic.name:<22} {topic.partitions:>10} {copies} {ends:>14}  {behind}")


async def _adopt(despite_loss: bool) -> None:
    from larder.stack.adopt import adopt, parts_of  # it imports every decider: only who adopts loads them

    settings = settings_without_stack()
    async with parts_of(Home.at(settings.home), settings, say) as there:
        await adopt(there, say, despite_loss=despite_loss)
