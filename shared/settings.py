"""Every setting of larder: environment variables `LARDER_*`, then `$LARDER_HOME/stack.json`, then defaults.

stack.json is what `larder up` tells about the stack that it runs.

Units stand last in the names (`_s` seconds, `_ms` milliseconds). A process reads its settings once, at start.
"""

import functools
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ServiceName = Literal["order", "inventory", "risk", "payment", "logistics", "aftersales"]
SERVICES: tuple[ServiceName, ...] = get_args(ServiceName)
"""The six services, in the order in which they are started and listed."""

SIGNALS = "signals"
"""Risk's stream application: a process beside the services, without a database."""

CONSOLE = "console"
"""The page where people work: a process without a database that asks the services over HTTP."""

PROCESSES: tuple[str, ...] = (*SERVICES, SIGNALS, CONSOLE)
"""All that has a port of its own, in the order in which it is started and listed."""

GATEWAY_BOOK = "gateway"
"""The database of the payment gateway simulator: no service but the simulator itself writes there."""

DATABASES: tuple[str, ...] = (*SERVICES, GATEWAY_BOOK)


WINDOWS = (
    "payment_window_s",
    "after_sales_window_s",
    "review_window_s",
    "shortage_window_s",
    "return_window_s",
    "slot_lead_s",
    "ticket_window_s",
    "claim_s",
)
"""The settings that say how long something waits for a person."""


SECONDS_MAX = 10 * 365 * 86_400
"""Longest time that a setting can name."""


def _servers(text: str) -> str:
    for server in text.split(",") if text else ():
        host, _, port = server.strip().rpartition(":")
        named = host.isprintable() and host.split() == [host]
        if not (named and port.isascii() and port.isdecimal() and 0 < int(port[:9]) <= PORT_MAX):
            raise ValueError(f"must be host:port[,host:port], a port from 1 to {PORT_MAX}")
    return text


PORT_MAX = 65_535
Servers = Annotated[str, AfterValidator(_servers)]
Port = Annotated[int, Field(ge=1, le=PORT_MAX)]
Seconds = Annotated[float, Field(gt=0, le=SECONDS_MAX, allow_inf_nan=False)]


class NotConfiguredError(RuntimeError):
    """A setting that is needed here is not set; the message says how to set it."""


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix="LARDER_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Path(".larder")
    """All local state: data of the embedded parts, secrets, logs, stack.json."""
    kafka: Servers = ""
    """Bootstrap servers, `host:port[,host:port]`."""
    kafka_idempotence: bool = True
    """Whether producers are idempotent; off only for the broker Tansu, which cannot do it."""
    database: str = ""
    """A DSN with `{service}` in it, for instance `postgresql://{service}:secret@127.0.0.1:5432/{service}`."""
    shards: int = Field(1, ge=1, le=1024)
    """Partitions of every topic: how many workers can share a service's work."""
    worker: int = Field(0, ge=0)
    """Which of a service's workers this process is; part of its static membership in the consumer group."""

    host: str = "127.0.0.1"
    order_port: Port = 8101
    inventory_port: Port = 8102
    risk_port: Port = 8103
    payment_port: Port = 8104
    logistics_port: Port = 8105
    aftersales_port: Port = 8106
    signals_port: Port = 8107
    console_port: Port = 8100
    services_at: str = Field("http://{host}:{port}", pattern=r"^https?://[^/]+$")
    """Where the console finds a service; `{service}`, `{host}` and `{port}` stand for its name and where it listens."""

    signals_store: Literal["rocksdb", "memory"] = "rocksdb"
    """Where risk's stream application keeps what it counted: on the disk, so that a restart reads only what is new of
    its changelogs, or in memory, so that it reads all of them."""
    signals_nice: int = Field(19, ge=0, le=19)
    """How far risk's stream application steps back for others that want the processor (see nice(2)): no order waits
    for it."""

    token_secret: str = ""
    token_secret_file: Path | None = None
    currency: str = Field("EUR", pattern="^[A-Z]{3}$")

    payment_window_s: Seconds = 600
    after_sales_window_s: Seconds = 172_800
    review_window_s: Seconds = 900
    shortage_window_s: Seconds = 600
    return_window_s: Seconds = 86_400
    slot_lead_s: float = Field(0, ge=0, le=SECONDS_MAX, allow_inf_nan=False)
    """So long before its slot begins an order must be paid. Stores begin with the work when the slot begins, so none is
    needed; one that has to plan ahead sets it."""
    ticket_window_s: Seconds = 14_400
    """So long after it was opened a ticket should be decided: its deadline, by which they are listed."""
    claim_s: Seconds = 600
    """How long somebody who works on a ticket has it for himself."""
    gateway_timeout_s: Seconds = 10
    similar_price_percent: float = Field(20, ge=0, le=100)

    max_batch: int = Field(1000, ge=1)
    """Records decided in one transaction, at most."""
    beat_ms: int | None = Field(None, ge=0)
    """Least time between two polls of a worker; None: the service's own default."""
    lag_bound: int = Field(50_000, ge=1)
    """Records behind from which on new orders get 503."""
    answer_wait_s: Seconds = 10
    """How long an HTTP request waits for the answer to its command."""
    connections_max: int = Field(800, ge=1)
    """Most HTTP connections of one process; below `ulimit -n` (often 1024) with what Kafka and the database need."""
    id_memory_s: Seconds = 86_400
    """How long a shard remembers the ids of commands from outside."""
    outbox_retention_s: float = Field(120, ge=0, le=SECONDS_MAX, allow_inf_nan=False)
    """How long sent messages stay in the outbox, for a broker that lost its log."""
    personal_data_s: Seconds = 90 * 86_400
    """How long addresses, devices and people's own words are kept once an order is placed; longer while it is open."""
    risk_memory_s: Seconds = 90 * 86_400
    """How long it is kept what a screening saw, and how accounts, devices and addresses conduct themselves."""
    timeline_s: Seconds = 400 * 86_400
    """How long the timeline of an order is kept once it is placed; longer while the order is open."""
    parked_s: Seconds = 30 * 86_400
    """How long a parked message is kept that was replayed or dropped; one that is open is kept for good."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the caller said, then the environment, then the running stack."""
        return init_settings, env_settings, _StackFile(settings_cls, init_settings, env_settings)

    def port(self, service: str) -> int:
        """The HTTP port of a service, of risk's stream application, or of the console."""
        if service not in PROCESSES:
            raise ValueError(f"there is no service {service!r}; the services are {', '.join(PROCESSES)}")
        port: int = getattr(self, f"{service}_port")
        return port

    def dsn(self, name: str) -> str:
        """The DSN of a service's database, or of the gateway's book."""
        if name not in DATABASES:
            raise ValueError(f"there is no database {name!r}; the databases are {', '.join(DATABASES)}")
        if not self.database:
            raise NotConfiguredError(
                f"no database is known: run `larder up` with LARDER_HOME={self.home}, or set LARDER_DATABASE "
                "(a DSN with {service} in it)"
            )
        return self.database.replace("{service}", name)

    def bootstrap(self) -> str:
        """The broker's bootstrap servers."""
        if not self.kafka:
            raise NotConfiguredError(
                f"no broker is known: run `larder up` with LARDER_HOME={self.home}, or set LARDER_KAFKA=host:port"
            )
        return self.kafka

    def secret(self) -> str:
        """The secret that tokens are signed with; its file is read once."""
        return self._secret

    @functools.cached_property
    def _secret(self) -> str:
        if self.token_secret:
            return self.token_secret
        path = self.token_secret_file or self.home / "token.secret"
        try:
            secret = path.read_text().strip()
        except OSError as error:
            raise NotConfiguredError(
                f"no token secret ({path}: {error.strerror}): run `larder up`, or set LARDER_TOKEN_SECRET or "
                "LARDER_TOKEN_SECRET_FILE"
            ) from None
        if not secret:
            raise NotConfiguredError(f"the token secret file {path} is empty")
        return secret


class _StackFile(PydanticBaseSettingsSource):
    """Reads stack.json, whose keys are names of settings, from the home that the other sources name."""

    def __init__(self, settings_cls: type[BaseSettings], *before: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._before = before

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # the whole file is read at once, in __call__

    def __call__(self) -> dict[str, Any]:
        home = next((said["home"] for said in (source() for source in self._before) if "home" in said), ".larder")
        path = Path(home) / "stack.json"
        try:
            stack = json.loads(path.read_text())
        except OSError:  # not there, or another user's: this stack is not ours to use
            return {}
        except (ValueError, RecursionError) as error:
            raise NotConfiguredError(
                f"{path} is damaged ({error}); `larder down`, then `larder up`, writes it anew"
            ) from error
        if not isinstance(stack, dict):
            raise NotConfiguredError(f"{path} is damaged (no object); `larder down`, then `larder up`, writes it anew")
        fields = self.settings_cls.model_fields
        return {name: value for name, value in stack.items() if name in fields and name != "home"}


def what_does_not_fit(error: ValidationError) -> str | None:
    """One sentence for settings that make no sense: each with its value and what it must be. None if the error is about
    something else."""
    if error.title not in (Settings.__name__, FromEnvironment.__name__):
        return None
    return "; ".join(
        f"{_named(str(wrong['loc'][0]))} is {wrong['input']!r:.80}, and {_must(wrong['msg'])}"
        for wrong in error.errors()
    )


def _named(setting: str) -> str:
    variable = f"LARDER_{setting.upper()}"
    # An empty variable counts as not set.
    return variable if os.environ.get(variable) else f"{setting} in stack.json ({variable})"


def _must(told: str) -> str:
    return told.replace("Input should", "must", 1).removeprefix("Value error, ")


class FromEnvironment(Settings):
    """Settings that no running stack has a say in."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: Any, **named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the caller said, then the environment."""
        return named["init_settings"], named["env_settings"]


def settings_without_stack() -> Settings:
    """Settings from the environment alone: what the user asked for, whatever stack ran here before."""
    return FromEnvironment()


@functools.cache
def get_settings() -> Settings:
    """The settings of this process, read once. Tests that change the environment call `get_settings.cache_clear()`."""
    return Settings()
