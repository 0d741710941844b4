"""The aftersales service as a process."""

from services.aftersales.api import routes
from services.aftersales.decider import DECIDER
from services.aftersales.store import AftersalesStore
from shared.service import Service, serve

SERVICE = Service(
    title="Larder: aftersales",
    description="Keeps the window in which a delivered order may still be complained about.",
    decider=DECIDER,
    store=AftersalesStore(),
    routes=routes,
    beat_ms=100,  # nobody waits for it
)

if __name__ == "__main__":
    serve(SERVICE)
