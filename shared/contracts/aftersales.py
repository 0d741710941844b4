"""Aftersales: keeps the window in which a delivered order may still be complained about."""

from __future__ import annotations

from shared.contracts.base import Message, Name


class OpenWindow(Message):
    """The order was delivered: its after-sales window begins."""

    TOPIC = "aftersales.commands"
    order_id: Name
    account: Name
    store: Name


class WindowShut(Message):
    """The window has passed and nothing is open: from now on every ticket is refused."""

    TOPIC = "aftersales.events"
    order_id: str
