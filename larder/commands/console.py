"""`larder console`."""

from typing import Annotated

import typer

from larder.say import say
from shared import tokens
from shared.settings import CONSOLE, Settings, get_settings

ROLES = tuple(role for role in tokens.ROLES if role != "customer")


def add_to(app: typer.Typer) -> None:
    """Adds console."""
    app.command()(console)


def console(
    role: Annotated[str, typer.Option(help=f"One of: {', '.join(ROLES)}.")],
    name: Annotated[str, typer.Option(help="Who it is: timelines and documents tell it.")],
    store: Annotated[str | None, typer.Option(help="Where a store worker works; none: in all stores.")] = None,
) -> None:
    """Print a link that signs somebody in to the console, once, within a minute; it is the last line."""
    say(link_for(get_settings(), role, name, store))


def link_for(settings: Settings, role: str, name: str, store: str | None = None) -> str:
    """The address that signs in."""
    link = tokens.create_link(settings, role, store, name)
    return f"http://{settings.host}:{settings.port(CONSOLE)}/sign-in/{link}"
