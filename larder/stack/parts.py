"""The two parts that the services stand on, PostgreSQL and a broker: chosen, prepared, and ready to be kept alive."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from larder.stack.belonging import check_all_go_with, forget
from larder.stack.brokers import Broker, choose_broker, keep_to
from larder.stack.errors import StackError
from larder.stack.home import Home, port_is_free
from larder.stack.postgres import Postgres
from larder.stack.process import Program
from larder.stack.topics import cluster_id
from shared.settings import Settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One of the two: how it is run, and how to know that it answers."""

    program: Program
    answers: Callable[[], Awaitable[bool]]


class Parts:
    """PostgreSQL and the broker of one home; those named by `LARDER_DATABASE` and `LARDER_KAFKA` are left to others."""

    def __init__(self, home: Home, settings: Settings, say: Say) -> None:
        self._home = home
        self._settings = settings
        self.broker: Broker = choose_broker(home, settings.kafka, say)
        self.postgres = None if settings.database else Postgres(home, say)

    @property
    def database(self) -> str:
        """The DSN of the databases, with `{service}` in it."""
        return self.postgres.template() if self.postgres else self._settings.database

    def check_ports(self) -> None:
        """A StackError that names the ports that somebody else listens on."""
        ports = self.broker.ports() | ({"postgres": self.postgres.port} if self.postgres else {})
        busy = [f"{port} (kept for {name})" for name, port in ports.items() if not port_is_free(port)]
        if busy:
            raise StackError(
                f"somebody else listens on port {', '.join(busy)}: stop that program, or remove "
                f"{self._home.root / 'ports.json'} to have other ports chosen"
            )

    async def prepare(self) -> list[Part]:
        """Makes the files of both, side by side; returns what is to be run."""
        preparing = [asyncio.to_thread(self.broker.prepare)]
        if self.postgres:
            preparing.append(asyncio.to_thread(self.postgres.prepare))
        await asyncio.gather(*preparing)
        parts = []
        if self.postgres:
            parts.append(Part(self.postgres.program(), self.postgres.answers))
        broker_program = self.broker.program()
        if broker_program:
            parts.append(Part(broker_program, self._broker_answers))
        return parts

    async def _broker_answers(self) -> bool:
        try:
            await cluster_id(self.broker.bootstrap)
        except StackError:
            return False
        return True

    async def make_databases(self) -> bool:
        """The services' databases; returns whether any had to be made."""
        return await self.postgres.make_databases() if self.postgres else False

    async def belong_together(self) -> None:
        """Databases and broker fit each other from here on; a StackError with what to do if they do not."""
        named = self._settings.model_copy(update={"database": self.database})
        if self.broker.forgets:
            await forget(self._home, named)
        else:
            await check_all_go_with(self._home, named, await cluster_id(self.broker.bootstrap))
            keep_to(self._home, self.broker)
