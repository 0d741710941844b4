"""The six services as the console asks them: over HTTP, with the token of the person who looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from services.console.live import Broken
from shared.http.problems import meaning_of
from shared.http.sse import HEARTBEAT_S
from shared.settings import SERVICES, ServiceName, Settings

CONNECTIONS_MAX = 100
"""Most requests under way to all services together; who comes then waits."""
CONNECT_S = 2.0
READ_S = 5.0
"""How long a page waits for one of its parts. What is not there then is shown as away."""
ANSWER_S = 5.0
"""So much longer than a service waits for the answer to a command, the console waits for the service."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said. `problem` is its problem+json, None when all is well; a service that is away has
    `unavailable`."""

    service: str
    status: int
    body: Any
    problem: dict[str, Any] | None = None

    @property
    def code(self) -> str:
        """The stable code of what is wrong; empty when nothing is."""
        return str(self.problem["code"]) if self.problem else ""


class Services:
    """Asks the services. One for the process; `close` it."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._at = {
            name: settings.services_at.format(service=name, host=settings.host, port=settings.port(name))
            for name in SERVICES
        }
        self._command_s = settings.answer_wait_s + ANSWER_S
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S, pool=READ_S),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=4.0),  # a service closes after 5 s
            transport=transport,
            trust_env=False,
        )

    async def get(self, service: ServiceName, path: str, token: str, **query: Any) -> Answer:
        """Reads; query members that are None or empty are left out."""
        asked = {name: value for name, value in query.items() if value not in (None, "")}
        return await self._ask(service, "GET", path, token, params=asked)

    async def send(
        self, service: ServiceName, method: str, path: str, token: str, key: str, body: Mapping[str, Any] | None
    ) -> Answer:
        """Has something done, under an Idempotency-Key."""
        return await self._ask(
            *(service, method, path, token),
            headers={"Idempotency-Key": key},
            json=body if body is not None else {},
            timeout=self._command_s,
        )

    async def all(self, path: str, token: str = "") -> dict[str, Answer]:
        """The same question to each service, at once."""
        answers = await asyncio.gather(*(self.get(name, path, token) for name in SERVICES))
        return dict(zip(SERVICES, answers, strict=True))

    async def stream(self, service: ServiceName, path: str, token: str) -> AsyncGenerator[str, None]:
        """The data of a service's events, until it says that there will be no more; Broken when it breaks off."""
        headers = {"Authorization": f"Bearer {token}"}
        timeout = httpx.Timeout(READ_S, connect=CONNECT_S, read=3 * HEARTBEAT_S)
        try:
            async with self._client.stream("GET", self._at[service] + path, headers=headers, timeout=timeout) as said:
                if not said.is_success:
                    raise Broken(f"{service} answers {said.status_code}")
                async for line in said.aiter_lines():
                    if line.startswith("data: "):
                        yield line.removeprefix("data: ")
        except httpx.HTTPError as error:
            raise Broken(f"{service}: {type(error).__name__}") from None

    async def _ask(self, service: ServiceName, method: str, path: str, token: str, **more: Any) -> Answer:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        try:
            said = await self._client.request(method, self._at[service] + path, headers=headers, **more)
            body = said.json() if said.content else None
        except (httpx.HTTPError, ValueError) as error:
            return away(service, f"{type(error).__name__}: {error}".rstrip(": "))
        if said.is_success:
            return Answer(service, said.status_code, body)
        if not isinstance(body, dict) or "code" not in body:
            return away(service, f"status {said.status_code}")
        return Answer(service, said.status_code, body, body)

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._client.aclose()


def away(service: str, why: str) -> Answer:
    """What is shown of a service that does not answer."""
    status, title = meaning_of("unavailable")
    problem = {"code": "unavailable", "title": title, "detail": f"{service} does not answer ({why})", "status": status}
    return Answer(service, status, None, problem)
