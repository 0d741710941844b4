"""`larder up`, `down` and `status`."""

import asyncio
import json
from typing import Annotated, Any

import typer

from larder.commands.console import front_door
from larder.say import say
from larder.stack.control import bring_down, bring_up, fetch_first, is_healthy, run_in_front
from larder.stack.disk import disk_of
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.state import status as status_of
from larder.stack.state import supervisor_of
from shared.settings import CONSOLE, SERVICES, Settings, settings_without_stack


def add_to(app: typer.Typer) -> None:
    """Adds up, down and status."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is ready; it goes on behind.")
    ] = False,
) -> None:
    """Run the stack of LARDER_HOME. PostgreSQL, a broker, six services, risk's signals; what dies is started again."""
    home = Home.at(settings_without_stack().home)
    running = supervisor_of(home)
    if running:
        if not asyncio.run(is_healthy(home)):
            raise StackError(
                f"larder is running already in {home.root} (pid {running.pid}), but not all of it is ready: look at "
                f"`larder status` and at {home.log('supervisor')}"
            )
        say(f"larder is running already in {home.root} (pid {running.pid})")
    elif detach:
        bring_up(home, say)
        settings = Settings(home=home.root)
        say(f"larder is up in {home.root}")
        for name in SERVICES:
            say(f"  {name:<11} http://{settings.host}:{settings.port(name)}/docs")
        say(f"  {CONSOLE:<11} {front_door(settings)}")
    else:
        fetch_first(home, say)
        run_in_front(home)


def down() -> None:
    """Stop the stack of LARDER_HOME, services first. Its data stays."""
    home = Home.seen(settings_without_stack().home)
    say(f"larder is down in {home.root}" if bring_down(home) else f"nothing was running in {home.root}")


def status(as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False) -> None:
    """Tell what runs, under which pids and ports. Exit code 1 unless all services are ready."""
    settings = Settings()
    told = asyncio.run(status_of(Home.seen(settings.home), settings))
    if as_json:
        say(json.dumps(told))
    else:
        _tell(told)
        if told["disk"]["full"]:
            say(str(disk_of(Home.seen(settings.home))))
    if not all(service["ready"] for service in told["services"]):
        raise typer.Exit(1)


def _tell(told: dict[str, Any]) -> None:
    for service in told["services"]:
        state = "ready" if service["ready"] else "not ready" if service["pid"] else "down"
        say(f"{service['name']:<11} {state:<10} port {service['port']}  pid {service['pid'] or '-'}")
    kafka, database = told["kafka"], told["database"]
    say(f"{'kafka':<11} {kafka['kind'] or 'down':<10} {kafka['bootstrap'] or ''}  pid {kafka['pid'] or '-'}")
    state = "up" if database["pid"] else "down" if database["dsn"] is None else "elsewhere"
    say(f"{'database':<11} {state:<10} pid {database['pid'] or '-'}")
    switch = told["risk"]["switch"]
    if switch and not switch["on"]:
        say(
            f"risk is switched off since {switch['changed_at']} by {switch['changed_by']}: every order's stock is "
            "deducted on payment"
        )
