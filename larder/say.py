"""The only way in which the command line prints: what it did not make itself must not act on the reader's terminal."""

from __future__ import annotations

import typer

from shared.printable import printable, printable_lines


def say(line: str = "", *, err: bool = False) -> None:
    """One line, whatever stands in it."""
    typer.echo(printable(line), err=err)


def say_lines(text: str, *, err: bool = False) -> None:
    """Several lines, whose line feeds are our own."""
    typer.echo(printable_lines(text), err=err)
