"""Transition tables: the only truth about what may happen to an aggregate.

Theory of operation. Phases are the rows of a table, message types its columns. A cell is one of three answers:

- `to(PHASE, action)`: the one target of this cell, and what is said on the way. The action returns the fields that
  change and what is said; it cannot set the phase, the table does. If the outcome depends on data, there are two
  messages, and so two cells.
- `refuse(code)`: for people's commands that come at the wrong time.
- `IGNORE`: an expected lateness, written down.

A missing cell is a fourth answer: nobody thought of this message in this phase, so it raises `NoCell` and the runtime
parks the message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

Key = tuple[str, ...]
"""Names an aggregate or a fact: its kind, then what identifies it, such as ("cell", "s-1", "apple")."""

Change = tuple[Mapping[str, Any], Sequence[object]]
"""What an action answers: the fields that change, and what is said."""
Action = Callable[[Any, Any, Any], Change]


class NoCell(Exception):
    """No cell for this message in this phase."""

    def __init__(self, table: str, phase: str, message: str) -> None:
        super().__init__(f"{table}: no cell for {message} in phase {phase}")


class To(NamedTuple):
    """A transition into `phase`."""

    phase: StrEnum
    action: Action | None


class Refuse(NamedTuple):
    """A person's command that may not be carried out now."""

    code: str


class _Ignore(NamedTuple):
    """An expected lateness."""


Cell = To | Refuse | _Ignore
IGNORE = _Ignore()


def to(phase: StrEnum, action: Action | None = None) -> To:
    """A cell that moves into `phase`, by way of `action`."""
    return To(phase, action)


def refuse(code: str) -> Refuse:
    """A cell that refuses with a stable code."""
    return Refuse(code)


class Moved(Struct, frozen=True, gc=False):
    """A transition happened: the aggregates as they are now, and everything that was said."""

    states: tuple[tuple[Key, Any], ...]
    said: Sequence[object]


class Refused(Struct, frozen=True):
    """Nothing changed; the person is told why: a stable code, and words that name what is wrong here."""

    code: str
    detail: str = ""


class Ignored(Struct, frozen=True):
    """Nothing changed, as expected."""


IGNORED = Ignored()
NO_STAMPS: Mapping[str, Any] = {}
Outcome = Moved | Refused | Ignored


def evolve(state: Any, changes: Mapping[str, Any]) -> Any:
    """The state with these fields changed. States are msgspec structs, so this hottest line of a decider runs in C, at
    a tenth of what `dataclasses.replace` takes."""
    return replace(state, **changes)


class Table:
    """One aggregate's life: `rows[phase][message type]` is a cell."""

    def __init__(self, name: str, rows: Mapping[StrEnum, Mapping[type, Cell]]) -> None:
        self.name = name
        self.rows = {phase: dict(cells) for phase, cells in rows.items()}

    def cell(self, phase: StrEnum, message: type) -> Cell:
        """The answer of this phase to this message; raises NoCell when there is none."""
        try:
            return self.rows[phase][message]
        except KeyError:
            raise NoCell(self.name, str(phase), message.__name__) from None

    def cells(self) -> Iterator[tuple[StrEnum, type, Cell]]:
        """Every cell, row by row: for drawings and tests."""
        for phase, cells in self.rows.items():
            for message, cell in cells.items():
                yield phase, message, cell

    def allowed(self, phase: StrEnum, commands: Mapping[str, type]) -> list[str]:
        """The names of those people's commands that this phase would carry out."""
        cells = self.rows.get(phase, {})
        return [name for name, command in commands.items() if isinstance(cells.get(command), To)]

    def move(
        self, state: Any, message: object, facts: Any, when_changed: Mapping[str, Any] = NO_STAMPS, **stamps: Any
    ) -> tuple[Any, Sequence[object]] | Refused | Ignored:
        """Decides one message: the new state and what is said, or a refusal, or nothing.

        `stamps` are fields that every transition sets, such as the time; `when_changed` are those that one sets which
        changes more than the phase. A message with a `detail` tells a refused person more than the code does.
        """
        cell = self.cell(state.phase, type(message))
        if type(cell) is To:
            changes, said = cell.action(state, message, facts) if cell.action else ({}, ())
            if changes:
                stamps.update(when_changed)
            # The table's own fields last: an action cannot set the phase.
            return evolve(state, {**changes, **stamps, "phase": cell.phase}), said
        if type(cell) is Refuse:
            return Refused(cell.code, getattr(message, "detail", ""))
        return IGNORED
