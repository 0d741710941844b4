"""When two texts are the same, and when one shows something."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.contracts.texts import normal_form, shows_something

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\ufe0f\U000e0101\u180b\u202e\u2066\u200f\u034f\u3164\u0007"
MARKS = "".join(chr(c) for c in range(0x250, 0x700) if unicodedata.combining(chr(c)))
TRICKY = "ßẞſςΣİıǰΐᾳ\u0345ﬁﬀ１Ａａ㌀ﷺ´¨\u00a0\u3000\u2028 \t\r\n가\u1100\u1161\u11a8"
texts = st.text() | st.text(st.sampled_from(INVISIBLE + MARKS + TRICKY + "aAe"), max_size=12)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Caf\u00e9", "Cafe\u0301"),
        ("12 Mill Lane", "１２\u3000Ｍｉｌｌ Ｌａｎｅ"),
        ("ﬁeld oﬀice", "field office"),
        ("Hauptstraße", "HAUPTSTRASSE"),
        ("Hauptstraße", "HAUPTSTRAẞE"),
        ("ΟΔΟΣ", "οδος"),
        ("Mill Lane", "Mill\u00a0Lane"),
        ("Mill Lane", " \t Mill \r\n\u2028 Lane\u3000"),
        ("Mill Lane", "Mi\u200bll\u200d La\u2060ne\ufeff"),
        ("Mill Lane", "Mi\u00adll Lane"),
        ("Mill Lane", "\u202eMill Lane\u202c"),
        ("Mill Lane", "\u2067Mill\u2069 \u200fLane"),
        ("❤", "❤\ufe0f"),
        ("葛", "葛\U000e0101"),
        ("Mill", "M\x00i\x07l\x1b\u3164l"),
        ("½", "1\u20442"),
        ("x\u0301\u0345", "x\u0345\u034f\u0301"),
    ],
    ids=ascii,
)
def test_the_same_however_it_is_written(one: str, other: str) -> None:
    """Composed or not, wide or narrow, capitals or not, with characters in it that nobody sees."""
    assert normal_form(one) == normal_form(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cafe", "Café"), ("Mill Lane", "MillLane"), ("12", "21"), ("a/b", "a//b"), ("a-b", "a.b"), ("Müller", "Mueller")],
)
def test_what_a_person_tells_apart_stays_apart(one: str, other: str) -> None:
    """Accents, blanks between words, order and punctuation count."""
    assert normal_form(one) != normal_form(other)


@given(texts)
@example("x\u0345\u034f\u0301")
@example("´")
def test_normal_form_is_its_own(text: str) -> None:
    """What is stored is looked up by itself: the form of the form is the form."""
    form = normal_form(text)
    assert normal_form(form) == form
    assert form == form.strip()
    assert bool(form) == shows_something(text)


@given(texts)
@example("\u1fb3\x1b\u0300")
def test_encodings_of_one_text_have_one_form(text: str) -> None:
    """NFC, NFD, NFKC and NFKD of a text, and its capitals folded, are the text."""
    forms = {normal_form(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert forms == {normal_form(text)}
    # The one mark that folds into a letter, alone or within one: who folds first loses its place among the marks behind
    # what is invisible.
    if "\u0345" not in unicodedata.normalize("NFKD", text):
        assert normal_form(unicodedata.normalize("NFC", text).casefold()) == normal_form(text)


@given(texts, st.sampled_from(INVISIBLE), st.integers(0, 12))
@example("x\u0345\u0301", "\u034f", 2)
def test_what_nobody_sees_changes_nothing(text: str, invisible: str, at: int) -> None:
    """An invisible character may stand anywhere, also between a letter and its accents."""
    assert normal_form(text[:at] + invisible + text[at:]) == normal_form(text)


def test_every_character_has_a_form_of_its_own_form() -> None:
    """All of Unicode, one by one: the form is stable, and it is empty for those that show nothing alone."""
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        form = normal_form(char)
        assert normal_form(form) == form, ascii(char)
        assert bool(form) == shows_something(char), ascii(char)
