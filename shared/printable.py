"""Text from outside, as a terminal or a log may show it.

Control characters move the cursor, clear the screen and set titles; format characters turn the writing direction
around or cannot be seen; line separators forge lines; half a surrogate pair cannot be encoded at all. Whatever was not
made here is shown with those written out.
"""

from __future__ import annotations

import unicodedata

ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of characters that do something instead of being seen."""


def printable(text: str) -> str:
    """The text on one line: what acts is written out (`\\x1b`, `\\n`, `\\u202e`), all else is as it was."""
    if text.isprintable():
        return text
    return "".join(_written_out(c) if unicodedata.category(c) in ACTING else c for c in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines: the line feeds between them stay."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()
