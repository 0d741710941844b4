"""Rules about money over single lives: what is clean, where the books of a whole world would be much for it."""

from __future__ import annotations

import pytest

from larder.audit import money
from larder.audit.life import Captured, Journal, Life, Payment


def ghost(refunded: int) -> Life:
    """Money for an order that never was."""
    entries = f'[["captured","cap-1",750],["refunded","ref-1",{refunded}]]'
    return Life("o-never", journal=Journal("o-never", entries))


def test_money_for_an_order_that_never_was_is_clean_once_it_is_back() -> None:
    """All of it; what is kept of it is named."""
    assert money.order_is_journal(ghost(750)) is None
    assert money.order_is_journal(ghost(700)) == "the journal has money of an order that nobody knows: 50 of it is kept"


@pytest.mark.parametrize(
    ("ours", "clean"),
    [
        ('["cap-1",750,"",0,"k"]', True),
        ('["cap-1",750,"",0]', True),
        ('["cap-1",750,"",0,""]', True),
        ('["cap-1",750,"",0,"other"]', False),
        ('["cap-1",749,"",0,"k"]', False),
        ('["cap-2",750,"",0,"k"]', False),
    ],
)
def test_capture_agrees_with_the_gateway(ours: str, clean: bool) -> None:
    """In reference, amount and key; of money written before keys were kept, in the first two."""
    life = Life("o-1", payment=Payment("o-1", "taken", f"[{ours}]"), captured=Captured("o-1", '[["cap-1",750,"k"]]'))
    assert (money.capture_belongs_to_one_order(life) == "") is clean
