"""What every message is: a frozen model that knows its topic, its key and its subject.

On the wire a message is a CloudEvent in binary mode: the body is the model as JSON, the attributes are headers
(see `shared.contracts.envelope`). Changes to a contract are additive: a reader ignores fields that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from shared.contracts.texts import shows_something

LINES_MAX = 200
"""Most lines in one order or document."""
QUANTITY_MAX = 1_000
"""Most pieces of one SPU in one line that a customer orders."""
STOCK_QUANTITY_MAX = 10_000_000
"""Most pieces of one SPU in one goods receipt or adjustment."""
MONEY_MAX = 10**12
"""Largest amount of money in one field, minor units."""
NUMBER_MAX = 2**31 - 1
"""Largest number that counts something: attempts, refunds, partitions."""
OFFSET_MAX = 2**63 - 1
PACKED_MAX = 1_000
"""Most entries of one pack."""
ACCOUNT_MAX = 128
"""Most characters of an account or a device: other systems made it up."""


def _filled(text: str) -> str:
    if not shows_something(text):
        raise ValueError("must show something: blanks and invisible characters are nothing")
    return text


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable, without blanks at its ends")
    return text if text.isascii() else _filled(text)


_INSTANT = r"^\d{4}-\d\d-\d\d[Tt ]"
"""The library would read 1990000000, also as a text, as seconds since 1970."""
_NO_INSTANT = "must be an instant as text, like 2026-11-22T18:00:00+01:00"
_CALENDAR = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
"""At the very ends of the calendar, turning an instant into UTC overflows."""


def _written_out(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(_INSTANT, value)):
        return value
    raise ValueError(_NO_INSTANT)


def _read_from_json(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The same rules for JSON without a call of Python's: half the time, and messages have several instants."""
    text = core_schema.custom_error_schema(
        core_schema.str_schema(pattern=_INSTANT), "instant", custom_error_message=f"Value error, {_NO_INSTANT}"
    )
    begin, end = _CALENDAR
    instant = core_schema.datetime_schema(strict=False, tz_constraint="aware", ge=begin, lt=end)
    return core_schema.json_or_python_schema(core_schema.chain_schema([text, instant]), handler(source))


# Every field of every contract is one of these: nothing from outside is unbounded (tests/contracts/test_bounds.py).
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+\-]*$")]
"""An id that larder's users choose, or larder itself: of a store, an SPU, an order."""
OrderId = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=72, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+\-]{0,63}(~r[1-9][0-9]{0,5})?$"
    ),
]
"""The id of an order. A sales order's is a Name; a replacement order's is its sales order's, `~r` and a number."""
TicketId = Annotated[str, StringConstraints(min_length=1, max_length=90, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+~\-]*$")]
"""Made of an order's id and a number, so longer than other names."""
Account = Annotated[str, StringConstraints(min_length=1, max_length=ACCOUNT_MAX), AfterValidator(_printable)]
"""An id of another system, taken as it is: `auth0|123`, base64, a person's name."""
Device = Account
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
"""May be empty; no NUL, which PostgreSQL refuses."""
Filled = Annotated[Text, Field(min_length=1), AfterValidator(_filled)]
"""A text that shows a person something."""
Quantity = Annotated[int, Field(ge=1, le=QUANTITY_MAX, strict=True)]
StockQuantity = Annotated[int, Field(ge=1, le=STOCK_QUANTITY_MAX, strict=True)]
Delta = Annotated[int, Field(ge=-STOCK_QUANTITY_MAX, le=STOCK_QUANTITY_MAX, strict=True)]
Money = Annotated[int, Field(ge=0, le=MONEY_MAX, strict=True)]
Number = Annotated[int, Field(ge=0, le=NUMBER_MAX, strict=True)]
# Parallel arrays: facts of an order whose lines were all substituted name twice as many as one has.
Spus = Annotated[tuple[Name, ...], Field(max_length=2 * LINES_MAX)]
Pieces = Annotated[tuple[StockQuantity, ...], Field(max_length=2 * LINES_MAX)]
SomeSpus = Annotated[Spus, Field(min_length=1)]
SomePieces = Annotated[Pieces, Field(min_length=1)]
Deltas = Annotated[tuple[Delta, ...], Field(max_length=2 * LINES_MAX)]
Names = Annotated[tuple[Name, ...], Field(max_length=2 * LINES_MAX)]
Moment = Annotated[
    AwareDatetime,
    Field(ge=_CALENDAR[0], lt=_CALENDAR[1], strict=False),
    BeforeValidator(_written_out),
    GetPydanticSchema(_read_from_json),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant that people can mean."""


class Part(BaseModel):
    """A piece of a message, frozen like the message itself. Nothing is converted: a text is no number, 1 is not yes."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


def sales_order_of(order_id: str) -> str:
    """The sales order that an order belongs to: itself, or the one that a replacement order hangs on."""
    return order_id.partition("~")[0]


def parallel(*names: str) -> Any:
    """A model's check that these fields are as long as each other. Usage: `_is_whole = parallel("spus", "missing")`."""

    def is_whole(part: Part) -> Part:
        if len({len(getattr(part, name)) for name in names}) > 1:
            raise ValueError(f"{', '.join(names[:-1])} and {names[-1]} must have the same length")
        return part

    return model_validator(mode="after")(is_whole)


class Message(Part):
    """A command or an event.

    `TOPIC` is where it travels, `KEY` names the field that chooses the partition (or several, with `|` between: the
    key is then their values, likewise), `SUBJECT` names the field that says what it is about: messages of one subject
    park behind each other.
    """

    TOPIC: ClassVar[str]
    KEY: ClassVar[str] = "order_id"
    SUBJECT: ClassVar[str] = "order_id"
    TYPE: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.TYPE = cls.__name__
        # Read several times for every message: without a function of Python's in between.
        for name, field in (("key", cls.KEY), ("subject", cls.SUBJECT)):
            # A pack has a key and a subject of its own: its shard is a number.
            if field not in (name, "shard") and not (name == "key" and field == "order_id"):
                setattr(cls, name, property(attrgetter(field) if "|" not in field else _joined(field)))

    @classmethod
    def key_named(cls) -> str:
        """Which of its fields is the key, as people read it."""
        return "order_id (up to ~)" if cls.KEY == "order_id" else cls.KEY

    @property
    def key(self) -> str:
        """The value that chooses the partition. A replacement order lives in the shard of its sales order."""
        return sales_order_of(self.order_id)  # type: ignore[attr-defined]

    @property
    def subject(self) -> str:
        """What the message is about, mostly an order id."""
        return str(getattr(self, self.SUBJECT))

    def to_json(self) -> bytes:
        """The body on the wire."""
        return type(self).__pydantic_serializer__.to_json(self, exclude_none=True)

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Reads a body; raises pydantic.ValidationError when it is not this message."""
        message: Self = cls.__pydantic_validator__.validate_json(body)
        return message


def _joined(fields: str) -> Callable[[Message], str]:
    values = attrgetter(*fields.split("|"))
    return lambda message: "|".join(values(message))


class Entry(Part):
    """One of many small facts that travel together: whoever says them says them one by one, and the runtime puts all
    that a batch says to one shard into one record, a message of the contract `PACK`. `KEY` names the field that chooses
    the shard."""

    PACK: ClassVar[type[Pack]]
    KEY: ClassVar[str]

    @property
    def key(self) -> str:
        """The value that chooses the shard."""
        return str(getattr(self, self.KEY))


class Pack(Message):
    """Entries for one shard, in the order in which they were said. Subclasses name `entries`."""

    KEY = "shard"
    SUBJECT = "shard"
    shard: Number
    entries: tuple[Any, ...]

    @property
    def key(self) -> str:
        """Its shard: what is in it has its own keys."""
        return str(self.shard)


class Slot(Part):
    """An agreed hour of delivery: from `start` until `end`."""

    start: Moment
    end: Moment


class CommandAccepted(Message):
    """A person's command was carried out. Travels on the answers topic of the service that decided it, for commands
    whose header `reply` is `accepted`."""

    TOPIC = "*.answers"
    KEY = "subject_id"
    SUBJECT = "subject_id"
    command_id: Text
    command: Name
    subject_id: Text


class CommandRefused(Message):
    """A person's command came at the wrong time or asked for what cannot be: `code` says why."""

    TOPIC = "*.answers"
    KEY = "subject_id"
    SUBJECT = "subject_id"
    command_id: Text
    command: Name
    subject_id: Text
    code: Name


class MessageParked(Message):
    """Nobody could handle a message: what it was and why it was parked. Its body stays in the service's database, where
    `larder parked` shows it; topic, partition and offset say where it came from (of a timer or an effect: none)."""

    TOPIC = "*.parked"
    KEY = "subject_id"
    SUBJECT = "subject_id"
    subject_id: Text
    code: Name
    reason: Text
    message_id: Text
    message_type: Text
    topic: Text
    partition: Number
    offset: Annotated[int, Field(ge=0, le=OFFSET_MAX)]
