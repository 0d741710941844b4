"""The command `larder`: a table of contents. Each module in larder/commands adds its commands to the app."""

import io
import logging
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from larder.commands import (
    adversaries,
    audit,
    bench,
    console,
    customer,
    demo,
    docs,
    doctor,
    lifecycle,
    load,
    migrate,
    parked,
    risk,
    simulate,
    token,
    topics,
)
from larder.errors import tell
from shared.printable import printable_lines

# Typer has no name of its own for it: what was typed makes no sense.
_UsageError: Any = typer.BadParameter.__base__


class Larder(TyperGroup):
    """Tells what goes wrong in any command: the one place where errors become words and exit codes."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a command to its end, and exits."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a terminal that knows no ü is no reason to stop
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # commands tell in their own words what goes wrong
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except _UsageError as error:
            error.message = printable_lines(error.message)
            error.show()
            code = error.exit_code
        except Exception as error:
            code = tell(error)
        sys.exit(code)


app = typer.Typer(
    cls=Larder,
    help="The orders of an online supermarket: the stack, and tools to look at it, load it and check it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# One line for each group of commands; a module has `add_to(app)`.
lifecycle.add_to(app)
migrate.add_to(app)
token.add_to(app)
console.add_to(app)
topics.add_to(app)
parked.add_to(app)
load.add_to(app)
adversaries.add_to(app)
bench.add_to(app)
simulate.add_to(app)
audit.add_to(app)
customer.add_to(app)
risk.add_to(app)
demo.add_to(app)
doctor.add_to(app)
docs.add_to(app)

if __name__ == "__main__":
    app()
