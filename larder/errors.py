"""What is told of an error: one sentence about what a reader can do something about, or that it is a bug of larder."""

from __future__ import annotations

import traceback

import asyncpg
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from larder.load.errors import LoadError
from larder.say import say_lines
from larder.stack.errors import StackError
from shared.settings import NotConfiguredError, what_does_not_fit
from shared.tokens import TokenError

EXIT_ERROR, EXIT_BUG = 1, 70
"""Exit codes for an error that has a sentence, and for one that has none."""


def sentence_of(error: BaseException) -> str | None:
    """The sentence for an error that is to be expected; None for a bug."""
    match leading(error):
        case StackError() | LoadError() | NotConfiguredError() | TokenError() as told:
            return str(told)
        case ValidationError() as unfit:
            return what_does_not_fit(unfit)
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError() as missing:
            return f"the database is not as this checkout wants it: {missing} (`larder migrate`)"
        case asyncpg.PostgresConnectionError() | asyncpg.OperatorInterventionError() | asyncpg.InterfaceError() as away:
            return f"the database went away: {away or type(away).__name__} (`larder status`)"
        case KafkaError() as away:
            return f"the broker would not: {away!r} (`larder status`)"
        case OSError() as refused:
            where = f"{refused.filename}: " if refused.filename is not None else ""
            return f"{where}{refused.strerror or refused or type(refused).__name__}"
    return None


def leading(error: BaseException) -> BaseException:
    """Of errors that were raised together, the first with a sentence, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    alone = [leading(one) for one in error.exceptions]
    return next((one for one in alone if sentence_of(one) is not None), alone[0])


def tell(error: BaseException, who: str = "larder") -> int:
    """Tells an error on standard error; the exit code that goes with it."""
    sentence = sentence_of(error)
    if sentence is not None:
        say_lines(f"{who}: {sentence}", err=True)
        return EXIT_ERROR
    bug = leading(error)
    say_lines("".join(traceback.format_exception(bug)).rstrip("\n"), err=True)
    say_lines(f"{who}: this is a bug of larder; the lines above say where ({type(bug).__name__})", err=True)
    return EXIT_BUG
