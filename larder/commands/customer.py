"""`larder customer erase`: takes a customer's personal data out of the databases when the customer asks for it."""

import asyncio
import json
from typing import Annotated

import typer

from larder.erasing import Erasure, Left, erase
from larder.say import say
from larder.stack.errors import StackError
from larder.who import who
from shared.settings import get_settings

LISTED = 5
"""Most ids that are named of what was left; `--json` tells all."""
WORDS = {"parked": "parked messages"}
"""What rows of a table are called, where it is not the table's name."""

group = typer.Typer(help="What concerns one customer.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Adds customer."""
    app.add_typer(group, name="customer")


@group.command("erase")
def erase_customer(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Whose data; as orders name it.")],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Take a customer's personal data out of all databases. Addresses, phones, notes, devices and people's words go of
    every order that has ended; numbers stay. Exit code 1: something is not over and was left; run it again later."""
    erasure = asyncio.run(erase(get_settings(), account, who()))
    if as_json:
        say(json.dumps(_as_json(erasure)))
    else:
        for line in _told(erasure):
            say(line)
    if erasure.left:
        raise StackError(
            f"left whole, since not over: {'; '.join(map(_left, erasure.left))}; run it again when they have ended"
        )


def _told(erasure: Erasure) -> list[str]:
    whose = f"account {erasure.account!r}, ended orders {erasure.orders:,}"
    if not erasure.rows:
        before = f" (erased before, {erasure.before.isoformat(timespec='seconds')})" if erasure.before else ""
        return [f"{whose}: nothing was left to erase{before}"]
    return [
        f"{whose}: erased in {erasure.rows:,} rows",
        *(
            f"{service}: {', '.join(f'{table} {rows:,}' for table, rows in sorted(counts.items()) if rows)}"
            for service, counts in erasure.erased.items()
            if any(counts.values())
        ),
    ]


def _left(left: Left) -> str:
    more = ", ..." if len(left.ids) > LISTED else ""
    return f"{WORDS.get(left.table, left.table)} {len(left.ids):,} ({', '.join(left.ids[:LISTED])}{more})"


def _as_json(erasure: Erasure) -> dict[str, object]:
    return {
        "account": erasure.account,
        "orders": erasure.orders,
        "erased": {service: dict(+counts) for service, counts in erasure.erased.items()},
        "erased_before": erasure.before.isoformat() if erasure.before else None,
        "left": [left._asdict() for left in erasure.left],
    }
