"""Inventory: the stock of every store, holds on it, and the documents that move it."""
