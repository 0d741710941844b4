"""What may be shown as it is, and what is written out."""

from shared.printable import printable, printable_lines
from tests.hostile import ACTING, HOSTILE, acting


def test_nothing_that_acts_is_left() -> None:
    """Every control, format and separating character and every half surrogate is written out, all else stays."""
    assert not acting(printable(HOSTILE), but="")
    assert printable(HOSTILE).endswith(" é日本 end")
    for character in ACTING:
        assert printable(f"a{character}z") not in (f"a{character}z", "az")
    assert printable("\x1b[2J \u202e \n") == r"\x1b[2J \u202e \n"
    assert printable("Grüße, 日本 and a\u00a0blank") == "Grüße, 日本 and a\u00a0blank"


def test_lines_stay_lines() -> None:
    """Only line feeds part lines: what else a terminal takes for a line's end is written out."""
    assert printable_lines("one\ntwo\rthree\u2028four") == "one\ntwo\\rthree\\u2028four"
