"""The composed stack, for real: built, brought up, an order delivered through it, taken down again.

With a Docker engine and an image registry at hand it is plain `docker compose`. Without them the rehearsal makes
stand-in images under the public names, so that the very same files are tried.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
REHEARSAL = ROOT.parent / "shared" / "rehearse-compose"
PROCESSES = ("order", "inventory", "risk", "payment", "logistics", "aftersales", "signals", "console")
UP_S, STEP_S = 900, 30
SQUARE = {"type": "Polygon", "coordinates": [[[4, 52], [5, 52], [5, 53], [4, 53], [4, 52]]]}


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _compose_command(tmp: Path) -> list[str]:
    if REHEARSAL.is_dir():
        # A copy, since the workshop may be read-only and the stand-in images inherit the modes of its files.
        copy = tmp / "rehearse-compose"
        shutil.copytree(REHEARSAL, copy)
        subprocess.run(["chmod", "-R", "u+w", str(copy)], check=True)
        _mend_stand_in(copy)
        return [str(copy / "up")]
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    pytest.skip("neither a Docker engine nor the compose rehearsal is here")


def _mend_stand_in(copy: Path) -> None:
    """A stand-in for Kafka that was made from read-only files cannot write its own settings: make it anew."""
    image = "apache/kafka:4.1.1"
    subprocess.run([str(copy / "engine"), "start"], check=True, capture_output=True, timeout=UP_S)
    docker = [str(copy / "engine"), "exec", "docker"]
    if subprocess.run([*docker, "image", "inspect", image], capture_output=True).returncode == 0:
        writable = ["run", "--rm", "--entrypoint", "test", image, "-w", "/opt/kafka/config/server.properties"]
        if subprocess.run([*docker, *writable], capture_output=True).returncode != 0:
            subprocess.run([str(copy / "make-images"), "--force", image], check=True, capture_output=True, timeout=UP_S)


class Composed:
    """The stack behind docker-compose.yml."""

    def __init__(self, command: list[str]) -> None:
        ports = dict(zip(PROCESSES, _free_ports(len(PROCESSES)), strict=True))
        self.ports = ports
        self.command = [*command, "--project-name", f"larder-test-{os.getpid()}"]
        self.env = {**os.environ, **{f"LARDER_{name.upper()}_PORT": str(port) for name, port in ports.items()}}
        self.env |= {"LARDER_AFTER_SALES_WINDOW_S": "2"}

    def compose(self, *arguments: str, timeout_s: float = UP_S) -> str:
        """Runs a compose command; its output, or a failure with the end of it."""
        done = subprocess.run(
            [*self.command, *arguments], cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=timeout_s
        )
        assert done.returncode == 0, f"compose {' '.join(arguments)}: {(done.stdout + done.stderr)[-3000:]}"
        return done.stdout

    def call(self, method: str, service: str, path: str, body: Any = None) -> httpx.Response:
        """One request as admin."""
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.ports[service]}{path}",
            json=body,
            headers={"Authorization": f"Bearer {self.token}", "Prefer": "wait=10"},
            timeout=STEP_S,
        )

    def until(self, what: str, probe: Callable[[], bool]) -> None:
        """Waits for a condition."""
        deadline = time.monotonic() + STEP_S
        while not probe():
            assert time.monotonic() < deadline, f"waited {STEP_S} s for {what}"
            time.sleep(0.1)  # between two looks, not instead of a look

    token = ""


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The stack, up and healthy; its volumes are taken away at the end."""
    stack = Composed(_compose_command(tmp_path_factory.mktemp("compose")))
    try:
        stack.compose("up", "--build", "--wait")
        stack.token = (
            stack.compose("exec", "-T", "order", "larder", "token", "--role", "admin").strip().splitlines()[-1]
        )
        yield stack
    finally:
        logs = subprocess.run(
            [*stack.command, "logs", "--tail", "30"], cwd=ROOT, env=stack.env, capture_output=True, text=True
        )
        print(logs.stdout[-8000:])
        stack.compose("down", "--volumes", "--remove-orphans")


def test_an_order_is_delivered_and_closed_through_the_composed_stack(composed: Composed) -> None:
    """What `docker compose up` brings up takes an order from the basket to its end, and its books add up."""
    call = composed.call
    assert call("PUT", "order", "/stores/s-1", {"name": "One", "area": SQUARE}).status_code == 200
    assert (
        call("PUT", "order", "/products/apple", {"name": "Apple", "price": 120, "category": "fruit"}).status_code == 200
    )
    receipt = {"lines": [{"spu": "apple", "quantity": 10}]}
    assert call("POST", "inventory", "/stores/s-1/goods-receipts", receipt).status_code == 202
    basket = {"account": "a-1", "delivery": {"lat": 52.5, "lon": 4.5, "address": "Dam 1"}}
    placed = call("POST", "order", "/orders", {**basket, "lines": [{"spu": "apple", "quantity": 3}]}).json()
    assert placed["phase"] == "awaiting_payment", placed
    order_id = placed["order_id"]
    paid = call("POST", "order", f"/orders/{order_id}/pay", {"method": "tok_ok", "expected_total": 360}).json()
    assert paid["phase"] == "awaiting_picking", paid
    steps = (
        ("start-picking", "queued"),
        ("picked", "picking"),
        ("packed", "picked"),
        ("handed-over", "packed"),
        ("delivered", "on_the_road"),
    )
    for verb, phase in steps:

        def there(wanted: str = phase) -> bool:
            return bool(call("GET", "logistics", f"/fulfilments/{order_id}").json().get("phase") == wanted)

        composed.until(phase, there)
        body = {"courier": "c-1"} if verb == "handed-over" else {}
        answer = call("POST", "logistics", f"/fulfilments/{order_id}/{verb}", body)
        assert answer.status_code == 202, answer.text
    composed.until("the end", lambda: call("GET", "order", f"/orders/{order_id}").json()["phase"] == "closed")
    stock = call("GET", "inventory", "/stores/s-1/stock/apple").json()
    assert (stock["on_hand"], stock["locked"]) == (7, 0)
    audit = json.loads(composed.compose("exec", "-T", "order", "larder", "audit", "--json").strip().splitlines()[-1])
    assert audit["violations"] == [], audit


def test_risk_is_told_of_it(composed: Composed) -> None:
    """Risk's signals counted the order, which its account, and perhaps a device and an address, have seen."""

    def counted() -> bool:
        metrics = composed.call("GET", "signals", "/metrics").text
        return bool(re.search(r"^larder_signals_told_total [1-9]", metrics, re.M))

    composed.until("conducts to be told", counted)


def test_a_killed_service_comes_back_by_its_restart_policy(composed: Composed) -> None:
    """Nobody has to start a dead service by hand."""
    composed.compose("exec", "-T", "order", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")

    def is_back() -> bool:
        try:
            return composed.call("GET", "order", "/readyz").status_code == 200
        except httpx.TransportError:
            return False

    composed.until("the order service", is_back)
