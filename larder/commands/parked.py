"""`larder parked list|show|replay|drop`: messages that nobody could handle. Ids are written `service:number`; replay
and drop take ids, or a filter, whose matches they count and ask about first."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
import typer

from larder.commands import parked_filter
from larder.say import say, say_lines
from larder.stack.errors import StackError
from larder.stack.migrate import connect
from larder.who import who
from shared.runtime import parked
from shared.runtime.parked import Action, Filter, Wish
from shared.settings import SERVICES, get_settings

PATIENCE_S = 30
"""How long a replay or a drop is waited for; its shard's worker carries it out."""
PAUSE_S = 0.1
LISTED_AT_MOST = 200
"""Listed unless the command says otherwise."""
LIMIT_MAX = 2**31 - 1
BODY_SHOWN_CHARS = 4000
DONE = {"replay": "replayed", "drop": "dropped"}

AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON.")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="As `larder parked list` tells them; none: what a filter says."),
]
OnlyService = Annotated[str | None, typer.Option("--service", help=f"Only one of: {', '.join(SERVICES)}.")]
Code = Annotated[str | None, typer.Option("--code", help="Only those parked with this code.")]
Type = Annotated[str | None, typer.Option("--type", help="Only messages of this type.")]
Subject = Annotated[str | None, typer.Option("--subject", help="Only those about this subject: an order, say.")]
Since = Annotated[str | None, typer.Option("--since", help="Only those parked then or later (ISO 8601; UTC).")]
Before = Annotated[str | None, typer.Option("--before", help="Only those parked before then (ISO 8601; UTC).")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why: kept with each message, as is who you are.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it to all that the filter matches without asking.")]

SHOW = "select * from parked where id = $1"
STATE = """
select state, code, reason, exists (select from parked_requests where parked_id = id) as asked
from parked where id = $1"""

group = typer.Typer(help="What nobody could handle: list it, show it, replay it, drop it.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Adds parked."""
    app.add_typer(group, name="parked")


@group.command("list")
def list_parked(
    service: OnlyService = None,
    code: Code = None,
    type_: Type = None,
    subject: Subject = None,
    since: Since = None,
    before: Before = None,
    state: Annotated[
        Literal["parked", "replayed", "dropped"], typer.Option("--state", help="Only those in this state.")
    ] = "parked",
    every: Annotated[bool, typer.Option("--all", help="In every state.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, max=LIMIT_MAX, help="At most so many; 0: all.")
    ] = LISTED_AT_MOST,
    as_json: AsJson = False,
) -> None:
    """List what is parked, oldest first."""
    wanted = _filter(None if every else state, code, type_, subject, since, before)
    rows: list[dict[str, Any]] = []
    counts = asyncio.run(_list(_services(service), wanted, limit or LIMIT_MAX, rows.append if as_json else _say_row))
    if as_json:
        say(json.dumps(rows))
    matching = sum(counts.values())
    listed = min(matching, limit or LIMIT_MAX)
    told = f"{listed:,} listed" if matching else "nothing is parked" if wanted == Filter() else "nothing matches"
    if listed < matching:
        told = f"{listed:,} listed of {matching:,} ({_each(counts)}): --limit 0 lists all"
    if listed < matching or not as_json:
        say(told, err=as_json)


def _say_row(row: dict[str, Any]) -> None:
    say(f"{row['id']}  {row['state']}  {row['message_type'] or '?'}  {row['subject'] or '-'}  {row['code']}")
    say(f"    {row['reason']}")


@group.command()
def show(parked_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Show one parked message with its headers and body."""
    row = asyncio.run(_show(parked_id))
    if as_json:
        say(json.dumps(row))
        return
    for name, value in row.items():
        text = value if isinstance(value, str) else json.dumps(value)
        say(f"{name:<16} {text[:BODY_SHOWN_CHARS]}{' ...' if len(text) > BODY_SHOWN_CHARS else ''}")


@group.command()
def replay(
    parked_ids: Ids = None,
    service: OnlyService = None,
    code: Code = None,
    type_: Type = None,
    subject: Subject = None,
    since: Since = None,
    before: Before = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Ask the owning worker to handle parked messages again, and those of the same subject behind them."""
    wanted = _filter("parked", code, type_, subject, since, before)
    _ask_for(_wish("replay", reason), parked_ids or [], service, wanted, yes, as_json)


@group.command()
def drop(
    parked_ids: Ids = None,
    service: OnlyService = None,
    code: Code = None,
    type_: Type = None,
    subject: Subject = None,
    since: Since = None,
    before: Before = None,
    reason: Reason = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give parked messages up; those of the same subject behind them can then be replayed."""
    wanted = _filter("parked", code, type_, subject, since, before)
    _ask_for(_wish("drop", reason), parked_ids or [], service, wanted, yes, as_json)


def _wish(action: Action, reason: str | None) -> Wish:
    return Wish(action, who(), parked_filter.reason(reason))


def _ask_for(wish: Wish, parked_ids: list[str], service: str | None, wanted: Filter, yes: bool, as_json: bool) -> None:
    filtered = parked_filter.narrows(wanted) or service is not None
    if filtered == bool(parked_ids):
        raise typer.BadParameter("name ids, or a filter (--service, --code, --type, --subject, --since, --before)")
    if parked_ids:
        _ask_each(parked_ids, wish, as_json)
    elif not asyncio.run(_ask_matching(_services(service), wanted, wish, yes, as_json)):
        raise typer.Exit(1)


def _ask_each(parked_ids: list[str], wish: Wish, as_json: bool) -> None:
    answers = asyncio.run(_ask_all(parked_ids, wish))
    for answer in answers:
        if isinstance(answer, StackError):
            say_lines(f"larder: {answer}", err=True)
        else:
            say(json.dumps(answer) if as_json else f"{answer['id']} is {answer['state']}")
    if any(isinstance(answer, StackError) for answer in answers):
        raise typer.Exit(1)


def _services(service: str | None) -> list[str]:
    return list(SERVICES) if service is None else [_known(service)]


def _filter(
    state: str | None,
    code: str | None,
    type_: str | None,
    subject: str | None,
    since: str | None,
    before: str | None,
) -> Filter:
    return Filter(
        state,
        parked_filter.text(code),
        parked_filter.text(type_),
        parked_filter.text(subject),
        parked_filter.instant("--since", since),
        parked_filter.instant("--before", before),
    )


def _each(counts: dict[str, int]) -> str:
    return ", ".join(f"{service} {count:,}" for service, count in counts.items() if count)


def _known(service: str) -> str:
    if service not in SERVICES:
        raise StackError(f"there is no service {service!r}; the services are {', '.join(SERVICES)}")
    return service


def _split(parked_id: str) -> tuple[str, int]:
    service, _, number = parked_id.partition(":")
    if not number.isascii() or not number.isdigit() or int(number) >= 2**63:
        raise StackError(f"{parked_id!r} is no id of a parked message; they look like order:12 (`larder parked list`)")
    return _known(service), int(number)


@asynccontextmanager
async def _connected(service: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(get_settings().dsn(service), service)
    try:
        yield connection
    finally:
        await connection.close()


async def _list(
    services: Sequence[str], wanted: Filter, most: int, show: Callable[[dict[str, Any]], None]
) -> dict[str, int]:
    """Shows at most so many; answers with how many match in each service."""
    counts = {}
    for service in services:
        async with _connected(service) as connection:
            counts[service], _ = await wanted.count(connection)
            async for row in parked_filter.rows(connection, wanted, most):
                most -= 1
                show(_shown(service, dict(row)))
    return counts


async def _ask_matching(services: Sequence[str], wanted: Filter, wish: Wish, yes: bool, as_json: bool) -> bool:
    """Counts, asks the operator, asks the workers, and waits; whether all of it was done."""
    found = {}
    for service in services:
        async with _connected(service) as connection:
            found[service] = await wanted.count(connection)
    counts = {service: count for service, (count, _) in found.items() if count}
    if not counts:
        say("{}" if as_json else "nothing that is parked matches")
        return True
    _confirm(f"this {wish.action}s {sum(counts.values()):,} messages ({_each(counts)})", yes)
    done = {s: await _matching_done(s, wanted, wish, count, found[s][1]) for s, count in counts.items()}
    if as_json:
        say(json.dumps({s: {"asked": counts[s], "done": done[s]} for s in counts}))
    else:
        for service, count in counts.items():
            as_before = f", {count - done[service]:,} park as before" if done[service] < count else ""
            say(f"{service}: {done[service]:,} {DONE[wish.action]}{as_before}")
    return done == counts


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise StackError(f"{what}: say --yes to do it")
    if not typer.confirm(f"{what}. Go on?", err=True):
        raise StackError("nothing was done")


async def _matching_done(service: str, wanted: Filter, wish: Wish, count: int, last: int) -> int:
    """Leaves the requests, and waits as long as the workers get on with them; how many are not parked any more."""
    async with _connected(service) as connection:
        await wanted.ask(connection, wish, last=last)
        left, patience = count, int(PATIENCE_S / PAUSE_S)
        while now_left := await parked_filter.waiting(connection, wish.at):
            patience = int(PATIENCE_S / PAUSE_S) if now_left < left else patience - 1
            left = now_left
            if patience <= 0:
                raise StackError(
                    f"asked {service} to {wish.action} {count:,}, and nothing happened to {left:,} of them within "
                    f"{PATIENCE_S} s; the requests stay, and are carried out when the workers of their shards run "
                    "(`larder status`)"
                )
            await asyncio.sleep(PAUSE_S)
        still, _ = await wanted.count(connection, last)
        return count - still


async def _show(parked_id: str) -> dict[str, Any]:
    service, number = _split(parked_id)
    async with _connected(service) as connection:
        row = await connection.fetchrow(SHOW, number)
    if row is None:
        raise StackError(f"nothing is parked under {parked_id} (`larder parked list`)")
    return _shown(service, dict(row))


async def _ask(parked_id: str, wish: Wish) -> dict[str, Any]:
    """Leaves a request and waits until the owning worker has carried it out."""
    (answer,) = await _ask_all([parked_id], wish)
    if isinstance(answer, StackError):
        raise answer
    return answer


async def _ask_all(parked_ids: Sequence[str], wish: Wish) -> list[dict[str, Any] | StackError]:
    """Leaves all requests before it waits, so that the workers carry them out together."""
    places = [_split(parked_id) for parked_id in parked_ids]
    async with AsyncExitStack() as closing:
        connections: dict[str, asyncpg.Connection] = {}
        for service in dict.fromkeys(service for service, _ in places):
            connections[service] = await connect(get_settings().dsn(service), service)
            closing.push_async_callback(connections[service].close)
        wrong = {place: await _leave_request(connections[place[0]], *place, wish) for place in places}
        return [wrong[place] or await _carried_out(connections[place[0]], *place, wish.action) for place in places]


async def _leave_request(connection: asyncpg.Connection, service: str, number: int, wish: Wish) -> StackError | None:
    if await parked.ask(connection, number, wish):
        return None
    state = await connection.fetchval("select state from parked where id = $1", number)
    if state is None:
        return StackError(f"nothing is parked under {service}:{number} (`larder parked list`)")
    return StackError(f"{service}:{number} is {state} already")


async def _carried_out(
    connection: asyncpg.Connection, service: str, number: int, action: str
) -> dict[str, Any] | StackError:
    for _ in range(int(PATIENCE_S / PAUSE_S)):
        (row,) = await connection.fetch(STATE, number)
        if row["state"] != "parked":
            return {"id": f"{service}:{number}", "state": row["state"]}
        if not row["asked"]:
            return StackError(
                f"{service}:{number} was handled again, and parks as before: {row['code']}: {row['reason']}"
            )
        await asyncio.sleep(PAUSE_S)
    return StackError(
        f"asked {service} to {action} {service}:{number}, but nothing happened within {PATIENCE_S} s; the request "
        "stays, and is carried out when the worker of its shard runs (`larder status`)"
    )


def _shown(service: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row as people and programs can read it: bytes as text, or base64 where they are none; times as ISO 8601."""
    shown = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
    shown |= {"id": f"{service}:{row['id']}", "service": service}
    for name in ("key", "body"):
        if isinstance(row.get(name), bytes):
            try:
                shown[name] = row[name].decode()
            except UnicodeDecodeError:
                shown[name] = {"base64": base64.b64encode(row[name]).decode()}
    if isinstance(row.get("headers"), str):
        shown["headers"] = [_header(*header) for header in json.loads(row["headers"])]
    return shown


def _header(name: str, value: str) -> list[str]:
    return [name, base64.b64decode(value).decode(errors="replace")]
