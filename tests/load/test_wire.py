"""Envelopes made cheaply are the envelopes of the contract."""

from datetime import UTC, datetime

from larder.load.wire import SOURCE, Stencil, link_of, type_of
from shared.runtime.envelope import from_outside

AT = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


def test_a_stencil_makes_what_from_outside_makes():
    """Piece by piece the same headers in the same order."""
    made = Stencil("PayOrder").headers(b"c-1", b"o-1", b"customer:a-1", AT.isoformat().encode())
    assert made == from_outside(id="c-1", type="PayOrder", source=SOURCE, subject="o-1", actor="customer:a-1", at=AT)


def test_a_stencil_asks_for_word_as_from_outside_does():
    """The header `reply` comes behind the others."""
    made = Stencil("PayOrder", wants_word=True).headers(b"c-1", b"o-1", b"customer:a-1", AT.isoformat().encode())
    assert made == from_outside(
        id="c-1", type="PayOrder", source=SOURCE, subject="o-1", actor="customer:a-1", at=AT, wants_word=True
    )


def test_the_type_is_found_wherever_it_stands():
    """Larder's envelopes have it third; others may not; a record without headers has none."""
    assert type_of((("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"OrderPaid"))) == b"OrderPaid"
    assert type_of((("ce_type", b"OrderPaid"), ("a", b""), ("b", b""))) == b"OrderPaid"
    assert type_of((("ce_type", b"OrderPaid"),)) == b"OrderPaid"
    assert type_of(()) == b""


def test_the_link_number_is_read_where_there_is_one():
    """Events of larder are numbered; what has no number, or none that is one, counts as 0."""
    assert link_of((("ce_type", b"OrderPaid"), ("link", b"12"))) == 12
    assert link_of((("link", b"x"),)) == link_of(()) == 0
