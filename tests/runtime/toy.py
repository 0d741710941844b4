"""A tiny service for tests of the runtime: jars that pieces are put into. It does everything that a decider may do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from shared.contracts.base import Entry, Message, Name, Pack
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import CancelTimer, Effect, Record, SetTimer
from shared.runtime.table import IGNORED, Key, Moved, NoCell, Outcome, Refused

# -- what it hears and says --------------------------------------------------------------------------------------------


class JarCommand(Message):
    """About one jar."""

    TOPIC = "toy.commands"
    KEY = "jar"
    SUBJECT = "jar"
    jar: Name


class Put(JarCommand):
    """Put pieces in; fewer than none takes out. None at all changes nothing."""

    pieces: int


class PointAt(JarCommand):
    """From now on this jar has a neighbour."""

    other: Name


class PourOver(JarCommand):
    """All pieces go to the neighbour."""


class Smash(JarCommand):
    """Cannot be decided: raises."""


class Vanish(JarCommand):
    """No cell for it."""


class Mumble(JarCommand):
    """Says many things, the last of which cannot be written."""


class Wander(JarCommand):
    """Looks at a jar that it did not say it needs, and takes what is in there."""


class Stumble(JarCommand):
    """Raises as soon as it is asked what it needs, and again when it is decided."""


class Shake(JarCommand):
    """Whatever is done with it, the database cannot keep it."""


class Weigh(JarCommand):
    """Tells the weight, by the scale as it is now."""


class SetLid(JarCommand):
    """The lid comes off after so many seconds; set again, it comes off then. None leaves it on for good."""

    seconds: int | None = None


class Call(JarCommand):
    """Ask the outside world for pieces."""

    number: int = 1


class Rained(Message):
    """A fact of another service: so many pieces fell into a jar."""

    TOPIC = "sky.events"
    KEY = "jar"
    SUBJECT = "jar"
    jar: Name
    pieces: int = 1


class Snowed(Message):
    """A fact that nobody here listens to."""

    TOPIC = "sky.events"
    KEY = "jar"
    SUBJECT = "jar"
    jar: Name


class Spill(JarCommand):
    """Drops fall into these jars, wherever they are; `garbled` adds a word that cannot be written."""

    over: tuple[Name, ...]
    garbled: bool = False


class Drop(Entry):
    """A piece falls into a jar; fewer than none is nonsense."""

    KEY = "jar"
    jar: Name
    pieces: int = 1


class Drops(Pack):
    """Drops that fall into jars of one shard."""

    TOPIC = "sky.events"
    entries: tuple[Drop, ...]


Drop.PACK = Drops


class JarChanged(Message):
    """So many pieces are in a jar now."""

    TOPIC = "toy.events"
    KEY = "jar"
    SUBJECT = "jar"
    jar: str
    pieces: Any


class Thank(Message):
    """A command to another service, keyed by something else than its subject."""

    TOPIC = "sky.commands"
    KEY = "cloud"
    SUBJECT = "jar"
    cloud: str
    jar: str


class LidOff(Struct, frozen=True):
    """The timer: the lid came off, and ten pieces fell in. That of the neighbour stays on, then."""

    subject: str


class Answered(Struct, frozen=True):
    """The outside world answered with so many pieces; fewer than none is nonsense."""

    subject: str
    pieces: int


# -- what it keeps -----------------------------------------------------------------------------------------------------


class Jar(Struct, frozen=True):
    """A jar."""

    name: str
    pieces: int = 0
    neighbour: str = ""


class Note(Record, frozen=True):
    """Something happened to a jar."""

    jar: str
    at: datetime
    pieces: int
    actor: str
    text: str = ""


LID = "lid"
SCALE: Key = ("scale",)


def needs(message: Any, look: Look) -> Iterator[Key]:
    """The jar; its neighbour to pour; the scale to weigh; of drops, all jars."""
    if isinstance(message, Stumble):
        raise OSError("stumbled")
    if isinstance(message, Drops):
        for drop in message.entries:
            yield ("jar", drop.jar)
        return
    yield ("jar", message.subject)
    if isinstance(message, PourOver) and (jar := look(("jar", message.subject))) and jar.neighbour:
        yield ("jar", jar.neighbour)
    if isinstance(message, Weigh):
        yield SCALE


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """One message about one jar, or drops into many."""
    if isinstance(message, Drops):
        return _dropped(message, look)
    key = ("jar", message.subject)
    jar: Jar = look(key) or Jar(message.subject)
    match message:
        case Put(pieces=0):
            return IGNORED
        case Put() if jar.pieces + message.pieces < 0:
            return Refused("jar_too_empty", f"there are {jar.pieces} pieces in {jar.name}")
        case Put():
            return _filled(jar, message.pieces, context)
        case PourOver() if jar.neighbour:
            other: Jar = look(("jar", jar.neighbour)) or Jar(jar.neighbour)
            poured = replace(other, pieces=other.pieces + jar.pieces)
            states = ((key, replace(jar, pieces=0)), (("jar", other.name), poured))
            return Moved(states, (JarChanged(jar=other.name, pieces=poured.pieces),))
        case PourOver():
            return Refused("no_neighbour")
        case PointAt():
            return Moved(((key, replace(jar, neighbour=message.other)),), ())
        case Smash():
            raise ZeroDivisionError("smashed")
        case Stumble():
            raise OSError("stumbled")
        case Vanish():
            raise NoCell("jar", "any", "Vanish")
        case Wander():
            faraway: Jar | None = look(("jar", "faraway"))
            return _filled(jar, faraway.pieces if faraway else 0, context)
        case Mumble():
            moved = _filled(jar, 1000, context)
            effect = Effect(f"{jar.name}:mumble", "call", {})
            garbled = JarChanged(jar=jar.name, pieces=object())
            return Moved(moved.states, (*moved.said, SetTimer(jar.name, LID, context.now), effect, garbled))
        case Shake():
            return Moved(((key, jar),), (Note(jar.name, context.now, 0, context.actor, "a \x00 in the middle"),))
        case Weigh():
            return Moved((), (JarChanged(jar=jar.name, pieces=f"{jar.pieces * look(SCALE)} g"),))
        case SetLid(seconds=None):
            return Moved(((key, jar),), (CancelTimer(jar.name, LID),))
        case SetLid(seconds=seconds):
            assert seconds is not None
            return Moved(((key, jar),), (SetTimer(jar.name, LID, context.now + timedelta(seconds=seconds)),))
        case Spill():
            word = [JarChanged(jar=jar.name, pieces=object())] if message.garbled else []
            return Moved(((key, jar),), (*(Drop(jar=other) for other in message.over), *word))
        case Call():
            return Moved(((key, jar),), (Effect(f"{jar.name}:{message.number}", "call", {"jar": jar.name}),))
        case Answered() if message.pieces < 0:
            raise ValueError("nonsense from outside")
        case Rained() | Answered():
            return _filled(jar, message.pieces, context)
        case LidOff():
            moved = _filled(jar, 10, context)
            stays_on = [CancelTimer(jar.neighbour, LID)] if jar.neighbour else []
            return Moved(moved.states, (*moved.said, *stays_on))
    raise NoCell("jar", "any", type(message).__name__)


def _dropped(message: Drops, look: Look) -> Moved:
    jars: dict[Key, Jar] = {}
    for drop in message.entries:
        if drop.pieces < 0:
            raise ValueError("nonsense from the sky")
        key = ("jar", drop.jar)
        jar: Jar = jars.get(key) or look(key) or Jar(drop.jar)
        jars[key] = replace(jar, pieces=jar.pieces + drop.pieces)
    return Moved(tuple(jars.items()), ())


def _filled(jar: Jar, pieces: int, context: Context) -> Moved:
    filled = replace(jar, pieces=jar.pieces + pieces)
    thanks = [Thank(cloud=f"cloud-{pieces % 3}", jar=jar.name)] if pieces > 0 else []
    note = Note(jar.name, context.now, pieces, context.actor)
    return Moved(((("jar", jar.name), filled),), (note, JarChanged(jar=jar.name, pieces=filled.pieces), *thanks))


TOY = Decider(
    service="toy",
    listens=(
        Put, PointAt, PourOver, Smash, Vanish, Mumble, Wander, Stumble, Shake, Weigh, SetLid, Call, Rained,
        Spill, Drops,
    ),
    needs=needs,
    decide=decide,
    timers={LID: LidOff},
    facts=frozenset({"scale"}),
)  # fmt: skip
