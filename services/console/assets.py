"""The files that run in the browser: our own, and htmx from an installed package. Each has its hash in its address, so
that a browser may keep it for good."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from shared.http.problems import Problem
from shared.settings import NotConfiguredError

FROM_PACKAGE = {"htmx.js": "htmx-2.min.js", "sse.js": "ext/hx-sse-2.min.js"}
"""Our name, and where the file lies in the wheel `django-htmx`, of which nothing else is used."""
OWN = ("console.css", "console.js")
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_HASH_CHARS = 12


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, read once."""

    address: str
    media_type: str
    content: bytes


class Assets:
    """All of them; NotConfiguredError when the package is not installed."""

    def __init__(self) -> None:
        own = files("services.console") / "static"
        self._by_name = {name: _asset(name, own / name) for name in OWN}
        try:
            package = files("django_htmx") / "static" / "django_htmx"
            self._by_name |= {name: _asset(name, package / path) for name, path in FROM_PACKAGE.items()}
        except (ModuleNotFoundError, FileNotFoundError) as error:
            raise NotConfiguredError(
                f"the console's browser files are not installed ({error}): run `make env`"
            ) from None
        self._by_address = {asset.address: asset for asset in self._by_name.values()}

    def address(self, name: str) -> str:
        """Where the browser finds it."""
        return f"/assets/{self._by_name[name].address}"

    def at(self, address: str) -> Asset:
        """The file of an address; 404 when there is none, or it is an old one's."""
        try:
            return self._by_address[address]
        except KeyError:
            raise Problem(404, "no_such_route", "reload the page") from None


def _asset(name: str, file: Traversable) -> Asset:
    content = file.read_bytes()
    stem, _, kind = name.rpartition(".")
    return Asset(f"{stem}.{hashlib.sha256(content).hexdigest()[:_HASH_CHARS]}.{kind}", TYPES[kind], content)
