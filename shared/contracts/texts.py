"""What a text from outside shows, and when two of them are the same.

Characters after Unicode 15: general categories (UAX #44), compatibility forms (UAX #15), and those that are drawn as
nothing although their category says otherwise (the property Default_Ignorable_Code_Point, and the empty Braille cell).
"""

from __future__ import annotations

import unicodedata

_VARIATIONS = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x180B, 0x1810))
_SHOWN_AS_NOTHING = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0").union(map(chr, _VARIATIONS))
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"})


def shows_something(text: str) -> bool:
    """Whether a person who reads it sees anything: blanks, controls and invisible characters are nothing."""
    return any(not char.isspace() and _is_shown(char) for char in text)


def normal_form(text: str) -> str:
    """The one form in which texts that mean the same are compared: invisible characters out, compatibility characters
    replaced (NFKC), case folded, white space folded to single blanks. May be empty, and longer than the text."""
    if not (text.isascii() and text.isprintable()):
        # First of all: what stands between two marks keeps them from their order.
        text = "".join(char for char in text if char.isspace() or _is_shown(char))
        text = unicodedata.normalize("NFKC", text)
        # Folding can take a text out of its normal form again (Unicode 15, D145).
        text = unicodedata.normalize("NFKC", text.casefold())
    return " ".join(text.casefold().split())


def _is_shown(char: str) -> bool:
    return unicodedata.category(char) not in _UNSHOWN and char not in _SHOWN_AS_NOTHING
