"""The payment service as a process, with the built-in gateway beside it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import cache

from fastapi import APIRouter

from services.payment import api
from services.payment.contradictions import watch_contradictions
from services.payment.decider import DECIDER
from services.payment.effects import GatewayCalls
from services.payment.refused import watch_refused
from services.payment.simulator.front import GatewaySimulator
from services.payment.simulator.webhook import webhook_secret
from services.payment.store import PaymentStore
from shared.runtime.effects import Run
from shared.service import Parts, Service, serve
from shared.settings import GATEWAY_BOOK, Settings, get_settings

EVERYWHERE = ("", "0.0.0.0", "::")
"""Hosts that say where to listen, and not where to call."""


@cache
def gateway() -> GatewaySimulator:
    """The one gateway of this process: the effects call it, its webhooks come to the routes."""
    settings = get_settings()
    host = "127.0.0.1" if settings.host in EVERYWHERE else settings.host
    return GatewaySimulator.durable(
        settings.dsn(GATEWAY_BOOK),
        timeout_s=settings.gateway_timeout_s,
        secret=webhook_secret(settings.secret()),
        webhook_url=f"http://{host}:{settings.port('payment')}/gateway/webhook",
    )


async def effects(settings: Settings) -> Run:
    """Opens the gateway for the effects."""
    await gateway().start()
    return GatewayCalls(gateway()).run


@contextlib.asynccontextmanager
async def closing_gateway(parts: Parts) -> AsyncIterator[None]:
    """Closes the gateway's book when the process ends."""
    try:
        yield
    finally:
        await gateway().stop()


def routes(parts: Parts) -> list[APIRouter]:
    """The API, with the gateway whose webhooks it takes."""
    return api.routes(parts, gateway())


SERVICE = Service(
    title="Larder: payment",
    description="Takes money and gives it back, by way of the payment gateway.",
    decider=DECIDER,
    store=PaymentStore(),
    routes=routes,
    beat_ms=50,  # not on the way to an order that can be paid; next to what a bank takes, nobody feels it
    effects=effects,
    background=(closing_gateway, watch_refused, watch_contradictions),
)

if __name__ == "__main__":
    serve(SERVICE)
