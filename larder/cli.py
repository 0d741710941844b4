"""The command `larder`: a table of contents. Each module in larder/commands adds its commands to the app."""

import sys

import typer
from pydantic import ValidationError

from larder.commands import audit, demo, docs, doctor, lifecycle, load, migrate, parked, simulate, token, topics
from larder.stack.errors import StackError
from shared.settings import FromEnvironment, NotConfiguredError, Settings
from shared.tokens import TokenError


class _Larder(typer.Typer):
    """Tells the errors that a reader can do something about in plain lines, without a traceback."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        try:
            return super().__call__(*args, **kwargs)
        except (StackError, NotConfiguredError, TokenError) as error:
            print(f"larder: {error}", file=sys.stderr)
            sys.exit(1)
        except ValidationError as error:
            if error.title not in (Settings.__name__, FromEnvironment.__name__):
                raise
            for wrong in error.errors():
                print(f"larder: LARDER_{str(wrong['loc'][0]).upper()}: {wrong['msg']}", file=sys.stderr)
            sys.exit(1)


app = _Larder(
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
topics.add_to(app)
parked.add_to(app)
load.add_to(app)
simulate.add_to(app)
audit.add_to(app)
demo.add_to(app)
doctor.add_to(app)
docs.add_to(app)

if __name__ == "__main__":
    app()
