"""Text that would act on the terminal of whoever prints it."""

from __future__ import annotations

_RANGES = (
    (0x00, 0x1F),  # C0: escape, bell, backspace, carriage return, ...
    (0x7F, 0x9F),  # delete and C1: one character can begin a control sequence
    (0xAD, 0xAD),
    (0x61C, 0x61C),
    (0x200B, 0x200F),
    (0x2028, 0x202E),  # line and paragraph separators, bidi overrides
    (0x2060, 0x2064),
    (0x2066, 0x206F),
    (0xD800, 0xDFFF),  # halves of surrogate pairs
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xE0001, 0xE0001),
    (0xE0020, 0xE007F),
)
ACTING = frozenset(chr(code) for first, last in _RANGES for code in range(first, last + 1))
HOSTILE = "plain \x1b[2J\x1b]0;title\x07 \u202eesrever " + "".join(sorted(ACTING)) + " é日本 end"


def acting(text: str, *, but: str = "\n") -> set[str]:
    """What of the text would act; line feeds are the printer's own."""
    return {c for c in text if c in ACTING} - set(but)
