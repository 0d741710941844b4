"""Pictures of figures, as SVG: the same figures give the same bytes; to be read on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377")
"""Paul Tol's bright scheme: told apart by colour-blind readers, too."""

INK = "#123456"
"""Stands for the colour of text and lines until the page's own is put in its place."""
PAGE = "svg{color:#1f2328}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}"


@contextmanager
def pen() -> Iterator[None]:
    """How all pictures look; figures are made and turned into SVG inside."""
    from matplotlib import rc_context  # a second to load: only who draws does

    drawn: tuple[Any, ...] = (
        "text.color",
        "axes.labelcolor",
        "axes.edgecolor",
        "xtick.color",
        "ytick.color",
        "axes.titlecolor",
    )
    style: dict[Any, str] = {"svg.hashsalt": "larder", "svg.fonttype": "none", "font.family": "sans-serif"}
    with rc_context({**style, **dict.fromkeys(drawn, INK)}):
        yield


def as_svg(figure: Any) -> str:
    """The picture on whatever page it stands."""
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    style = '<style type="text/css">'
    return text.getvalue().replace(INK, "currentColor").replace(style, style + PAGE, 1)
