"""The risk service as a process."""

from services.risk.api import routes
from services.risk.decider import DECIDER
from services.risk.standing import forget_conducts, health, watch_risk
from services.risk.store import SWEEPS, RiskStore
from shared.service import Service, serve

SERVICE = Service(
    title="Larder: risk",
    description="May an order go on, and is its stock locked at placing or deducted at payment? Also the blocklist.",
    decider=DECIDER,
    store=RiskStore(),
    routes=routes,
    sweeps=SWEEPS,
    beat_ms=4,
    background=(watch_risk, forget_conducts),
    told=health,
)

if __name__ == "__main__":
    serve(SERVICE)
