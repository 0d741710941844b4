"""`larder token`."""

from typing import Annotated

import typer

from larder.say import say
from shared import tokens
from shared.settings import get_settings


def add_to(app: typer.Typer) -> None:
    """Adds token."""
    app.command()(token)


def token(
    role: Annotated[str, typer.Option(help=f"One of: {', '.join(tokens.ROLES)}.")],
    account: Annotated[str | None, typer.Option(help="Whose it is; a customer's must say.")] = None,
    name: Annotated[str | None, typer.Option(help="Who it is that works here; none: only the role is known.")] = None,
    store: Annotated[str | None, typer.Option(help="Where a store worker works; none: in all stores.")] = None,
    ttl_s: Annotated[
        float, typer.Option(help=f"Seconds that it is good for, at most {tokens.TTL_MAX_S:,}.")
    ] = tokens.DEFAULT_TTL_S,
) -> None:
    """Print a bearer token; it is the last line."""
    say(tokens.create(get_settings(), role, account, store, ttl_s, name))
