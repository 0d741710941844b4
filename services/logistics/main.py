"""Logistics as a process."""

from services.logistics.api import routes
from services.logistics.decider import DECIDER
from services.logistics.levels import SLOT_LEVELS
from services.logistics.store import SWEEPS, LogisticsStore
from shared.service import Service, serve
from shared.telling import telling

SERVICE = Service(
    title="Larder: logistics",
    description="The slots of every store, and its work on an order: pick, pack, hand over, deliver.",
    decider=DECIDER,
    store=LogisticsStore(),
    routes=routes,
    sweeps=SWEEPS,
    beat_ms=100,
    background=(telling(SLOT_LEVELS),),
)

if __name__ == "__main__":
    serve(SERVICE)
