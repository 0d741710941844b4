"""`larder parked list|show|replay|drop`: messages that nobody could handle. Ids are written `service:number`."""

import asyncio
import base64
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any

import asyncpg
import typer

from larder.say import say, say_lines
from larder.stack.errors import StackError
from larder.stack.migrate import connect
from shared.settings import SERVICES, get_settings

PATIENCE_S = 30
"""How long a replay or a drop is waited for; its shard's worker carries it out."""
PAUSE_S = 0.1
LISTED_AT_MOST = 200
BODY_SHOWN_CHARS = 4000

AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="One or more, as `larder parked list` tells them.")]
OnlyService = Annotated[str | None, typer.Option("--service", help=f"Only one of: {', '.join(SERVICES)}.")]

LIST = """
select id, shard, subject, topic, kafka_partition, kafka_offset,
    message_id, message_type, code, reason, parked_at, state
from parked where state = 'parked' or $1 order by id limit $2"""
SHOW = "select * from parked where id = $1"
# The worker takes a request away when it has carried it out, so that a message that parks again can be asked for again.
ASK = """
insert into parked_requests (parked_id, action, shard) select id, $2, shard from parked where id = $1
on conflict (parked_id) do update set action = excluded.action, asked_at = now()"""
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
    every: Annotated[bool, typer.Option("--all", help="Also those replayed and dropped.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what is parked, oldest first."""
    rows = asyncio.run(_list([_known(service)] if service else list(SERVICES), every))
    if as_json:
        say(json.dumps(rows))
        return
    for row in rows:
        say(f"{row['id']}  {row['state']}  {row['message_type'] or '?'}  {row['subject'] or '-'}  {row['code']}")
        say(f"    {row['reason']}")
    say(f"{len(rows)} listed" if rows else "nothing is parked")


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
def replay(parked_ids: Ids, as_json: AsJson = False) -> None:
    """Ask the owning worker to handle parked messages again, and those of the same subject behind them."""
    _ask_each(parked_ids, "replay", as_json)


@group.command()
def drop(parked_ids: Ids, as_json: AsJson = False) -> None:
    """Give parked messages up; those of the same subject behind them can then be replayed."""
    _ask_each(parked_ids, "drop", as_json)


def _ask_each(parked_ids: list[str], action: str, as_json: bool) -> None:
    answers = asyncio.run(_ask_all(parked_ids, action))
    for answer in answers:
        if isinstance(answer, StackError):
            say_lines(f"larder: {answer}", err=True)
        else:
            say(json.dumps(answer) if as_json else f"{answer['id']} is {answer['state']}")
    if any(isinstance(answer, StackError) for answer in answers):
        raise typer.Exit(1)


def _known(service: str) -> str:
    if service not in SERVICES:
        raise StackError(f"there is no service {service!r}; the services are {', '.join(SERVICES)}")
    return service


def _split(parked_id: str) -> tuple[str, int]:
    service, _, number = parked_id.partition(":")
    if not number.isascii() or not number.isdigit() or int(number) >= 2**63:
        raise StackError(f"{parked_id!r} is no id of a parked message; they look like order:12 (`larder parked list`)")
    return _known(service), int(number)


async def _list(services: list[str], every: bool) -> list[dict[str, Any]]:
    found = []
    for service in services:
        connection = await connect(get_settings().dsn(service), service)
        try:
            rows = await connection.fetch(LIST, every, LISTED_AT_MOST)
        finally:
            await connection.close()
        found += [_shown(service, dict(row)) for row in rows]
    return found


async def _show(parked_id: str) -> dict[str, Any]:
    service, number = _split(parked_id)
    connection = await connect(get_settings().dsn(service), service)
    try:
        row = await connection.fetchrow(SHOW, number)
    finally:
        await connection.close()
    if row is None:
        raise StackError(f"nothing is parked under {parked_id} (`larder parked list`)")
    return _shown(service, dict(row))


async def _ask(parked_id: str, action: str) -> dict[str, Any]:
    """Leaves a request and waits until the owning worker has carried it out."""
    (answer,) = await _ask_all([parked_id], action)
    if isinstance(answer, StackError):
        raise answer
    return answer


async def _ask_all(parked_ids: Sequence[str], action: str) -> list[dict[str, Any] | StackError]:
    """Leaves all requests before it waits, so that the workers carry them out together."""
    places = [_split(parked_id) for parked_id in parked_ids]
    async with AsyncExitStack() as closing:
        connections: dict[str, asyncpg.Connection] = {}
        for service in dict.fromkeys(service for service, _ in places):
            connections[service] = await connect(get_settings().dsn(service), service)
            closing.push_async_callback(connections[service].close)
        wrong = {place: await _leave_request(connections[place[0]], *place, action) for place in places}
        return [wrong[place] or await _carried_out(connections[place[0]], *place, action) for place in places]


async def _leave_request(connection: asyncpg.Connection, service: str, number: int, action: str) -> StackError | None:
    state = await connection.fetchval("select state from parked where id = $1", number)
    if state is None:
        return StackError(f"nothing is parked under {service}:{number} (`larder parked list`)")
    if state != "parked":
        return StackError(f"{service}:{number} is {state} already")
    await connection.execute(ASK, number, action)
    return None


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
    shown = {**row, "id": f"{service}:{row['id']}", "service": service, "parked_at": row["parked_at"].isoformat()}
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
