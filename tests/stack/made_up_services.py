"""Made-up services that only answer, so that the supervisor is tested whatever the real ones do."""

import os
import subprocess
import sys
from pathlib import Path

from larder.stack.home import Home
from shared.settings import PROCESSES, SERVICES

SERVICE = """
import http.server, os, pathlib, sys
from shared.settings import get_settings

settings = get_settings()
{needs}settings.bootstrap(), settings.secret()
if pathlib.Path(settings.home, "broken-{name}").exists():
    sys.exit("I will not start")

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.ThreadingHTTPServer((settings.host, settings.port("{name}")), Answer).serve_forever()
"""

# Every Python that starts reads this; only the main modules of the services are replaced, all else is the checkout's.
INSTEAD = """
import importlib.util, pathlib, sys

class Instead:
    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if parts[0] == "services" and parts[2:] in (["main"], ["signals"]):
            made_up = pathlib.Path(__file__).with_name(f"made_up_{parts[1] if parts[2] == 'main' else parts[2]}.py")
            return importlib.util.spec_from_file_location(name, made_up)

sys.meta_path.insert(0, Instead())
"""


class Larder:
    """The command `larder` with a home and ports of its own, and made-up services instead of the real ones."""

    def __init__(self, folder: Path) -> None:
        self.home = Home.at(folder / "home")
        code = folder / "code"
        code.mkdir()
        (code / "sitecustomize.py").write_text(INSTEAD)
        for name in PROCESSES:
            needs = f'settings.dsn("{name}"), ' if name in SERVICES else ""
            (code / f"made_up_{name}.py").write_text(SERVICE.format(name=name, needs=needs))
        ports = {f"LARDER_{name.upper()}_PORT": str(self.home.port(f"test-{name}")) for name in PROCESSES}
        paths = {"PYTHONPATH": str(code), "LARDER_HOME": str(self.home.root)}
        self._env = {**os.environ, **paths, **ports}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs one command to its end."""
        command = [sys.executable, "-P", "-m", "larder.cli", *arguments]
        return subprocess.run(
            command, env=self._env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Runs one command in front."""
        command = [sys.executable, "-P", "-m", "larder.cli", *arguments]
        return subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def breaks(self, service: str, broken: bool = True) -> None:
        """Makes a service end as soon as it starts, or not any longer."""
        mark = self.home.root / f"broken-{service}"
        if broken:
            mark.touch()
        else:
            mark.unlink()
