"""`larder topics`."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer

from larder.stack.topics import news
from shared.settings import get_settings


def add_to(app: typer.Typer) -> None:
    """Adds topics."""
    app.command()(topics)


def topics(as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False) -> None:
    """List the topics: partitions, records ever written, and who has not read them all."""
    told = asyncio.run(news(get_settings().bootstrap()))
    if as_json:
        typer.echo(json.dumps([asdict(topic) for topic in told]))
        return
    typer.echo(f"{'topic':<22} {'partitions':>10} {'end offsets':>14}  behind")
    for topic in told:
        ends = ",".join(map(str, topic.end_offsets))
        behind = ", ".join(f"{group} {lag}" for group, lag in topic.lag.items()) or "-"
        typer.echo(f"{topic.name:<22} {len(topic.end_offsets):>10} {ends:>14}  {behind}")
