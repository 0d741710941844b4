"""`larder docs`."""

from pathlib import Path
from typing import Annotated

import typer

from larder.say import say


def add_to(app: typer.Typer) -> None:
    """Adds docs."""
    app.command()(docs)


def docs(root: Annotated[Path, typer.Option(help="The checkout.")] = Path()) -> None:
    """Draw the tables of the deciders into docs/tables and the README, and kept benches into docs/benchmarks.md."""
    from larder.drawings import drawings  # it imports every decider: only who draws loads them

    for path, text in drawings(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            say(f"drew {path}")
