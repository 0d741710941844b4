"""The rooms of the console, a module each: what is read, shown, and may be done there."""

from services.console.rooms import courier, operations, orders, overview, picking, tickets

__all__ = ["courier", "operations", "orders", "overview", "picking", "tickets"]
