"""The aftersales service as a process."""

from services.aftersales.api import routes
from services.aftersales.decider import DECIDER
from services.aftersales.oldest import watch_oldest
from services.aftersales.store import SWEEPS, AftersalesStore
from shared.service import Service, serve

SERVICE = Service(
    title="Larder: aftersales",
    description="Keeps the window in which a delivered order may still be complained about, and the tickets.",
    decider=DECIDER,
    store=AftersalesStore(),
    routes=routes,
    sweeps=SWEEPS,
    beat_ms=250,  # off the way to payment; a person at the telephone does not feel it
    resting="""select ticket_id, phase not in ('checking', 'deciding', 'holding')
from tickets where ticket_id = any($1::text[])""",
    background=(watch_oldest,),
)

if __name__ == "__main__":
    serve(SERVICE)
