"""The order service as a process."""

from services.order.api import routes
from services.order.decider import DECIDER
from services.order.levels import LEVELS_HERE
from services.order.oldest import watch_oldest
from services.order.state import RESTING
from services.order.store import SWEEPS, OrderStore
from shared.service import Service, serve

_PHASES = ", ".join(f"'{phase}'" for phase in sorted(RESTING))

SERVICE = Service(
    title="Larder: orders",
    description="Prices baskets and carries each order through its life. Also the catalogue and the stores.",
    decider=DECIDER,
    store=OrderStore(),
    routes=routes,
    sweeps=SWEEPS,
    beat_ms=4,
    resting=f"select order_id, phase in ({_PHASES}) from orders where order_id = any($1::text[])",
    background=(watch_oldest, LEVELS_HERE.following),
)

if __name__ == "__main__":
    serve(SERVICE)
