"""What every message is: a frozen model that knows its topic, its key and its subject.

On the wire a message is a CloudEvent in binary mode: the body is the model as JSON, the attributes are headers
(see `shared.contracts.envelope`). Changes to a contract are additive: a reader ignores fields that it does not know.
"""

from __future__ import annotations

from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, ClassVar, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

LINES_MAX = 200
"""Most lines in one order or document."""
QUANTITY_MAX = 1_000
"""Most pieces of one SPU in one line that a customer orders."""
STOCK_QUANTITY_MAX = 10_000_000
"""Most pieces of one SPU in one goods receipt or adjustment."""
MONEY_MAX = 10**12
"""Largest amount of money in one field, minor units."""

# No control characters (PostgreSQL refuses NUL), nothing unbounded.
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+\-]*$")]
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
Quantity = Annotated[int, Field(ge=1, le=QUANTITY_MAX, strict=True)]
StockQuantity = Annotated[int, Field(ge=1, le=STOCK_QUANTITY_MAX, strict=True)]
Money = Annotated[int, Field(ge=0, le=MONEY_MAX, strict=True)]
# An instant that people can mean. At the very ends of the calendar, turning it into UTC overflows.
Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]


class Part(BaseModel):
    """A piece of a message, frozen like the message itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Message(Part):
    """A command or an event.

    `TOPIC` is where it travels, `KEY` names the field that chooses the partition, `SUBJECT` names the field that says
    what it is about: messages of one subject park behind each other.
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
            if field != name:
                setattr(cls, name, property(attrgetter(field)))

    @property
    def key(self) -> str:
        """The value that chooses the partition."""
        return str(getattr(self, self.KEY))

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


class Slot(Part):
    """An agreed hour of delivery: from `start` until `end`."""

    start: Moment
    end: Moment


class CommandAccepted(Message):
    """A person's command was carried out. Travels on the answers topic of the service that decided it."""

    TOPIC = "*.answers"
    KEY = "subject_id"
    SUBJECT = "subject_id"
    command_id: str
    command: str
    subject_id: str


class CommandRefused(Message):
    """A person's command came at the wrong time or asked for what cannot be: `code` says why."""

    TOPIC = "*.answers"
    KEY = "subject_id"
    SUBJECT = "subject_id"
    command_id: str
    command: str
    subject_id: str
    code: str


class MessageParked(Message):
    """Nobody could handle a message: what it was and why it was parked. Its body stays in the service's database, where
    `larder parked` shows it; topic, partition and offset say where it came from (of a timer or an effect: none)."""

    TOPIC = "*.parked"
    KEY = "subject_id"
    SUBJECT = "subject_id"
    subject_id: str
    code: str
    reason: str
    message_id: str
    message_type: str
    topic: str
    partition: int
    offset: int
