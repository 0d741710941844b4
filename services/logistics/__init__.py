"""Logistics: the slots of every store, and the store's work on an order until the goods are at the door."""
