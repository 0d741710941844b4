"""The rooms of the console, a module each: what is read, shown, and may be done there."""

from services.console.rooms import courier, marketing, operations, orders, overview, picking, risk, store, tickets

__all__ = ["courier", "marketing", "operations", "orders", "overview", "picking", "risk", "store", "tickets"]
