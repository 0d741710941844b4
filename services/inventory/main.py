"""Inventory as a process."""

from services.inventory.api import routes
from services.inventory.decider import DECIDER
from services.inventory.levels import STOCK_LEVELS
from services.inventory.store import InventoryStore
from shared.service import Service, serve
from shared.telling import telling

SERVICE = Service(
    title="Larder: inventory",
    description="The stock of every store: goods receipts, holds, the ledger and its documents.",
    decider=DECIDER,
    store=InventoryStore(),
    routes=routes,
    beat_ms=4,
    background=(telling(STOCK_LEVELS),),
)

if __name__ == "__main__":
    serve(SERVICE)
