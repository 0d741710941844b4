"""The same evening with adversaries under different screenings, side by side: a table, and a picture.

What is compared stands in `SCREENINGS`. Rules and switch are set over HTTP, as an analyst would, and put back then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
import msgspec

from larder.load.errors import LoadError
from larder.load.mix import Adversaries
from larder.pictures import COLOURS, as_svg, pen
from services.risk.rules import DELIVERED, BadRules, Rule, RuleSet, read_rules, rules_of
from shared.settings import Settings
from shared.tokens import create

STRICTER = read_rules((Path(__file__).parent / "data" / "stricter_rules.toml").read_bytes())
PATIENCE_S = 30
KINDS = tuple(kind.name for kind in fields(Adversaries))
DOUBTS = ("restricted", "referred", "refused")


class Screening(NamedTuple):
    """How risk looks at orders during one load."""

    name: str
    rules: RuleSet
    on: bool = True


SCREENINGS = (
    Screening("no rules", RuleSet(0, {}, DELIVERED.levels)),
    Screening("risk off", DELIVERED, on=False),
    Screening("delivered rules", DELIVERED),
    Screening("stricter rules", STRICTER),
)
"""Without rules every order is cleared. With risk off none is: all stock is deducted on payment."""


class Outcome(NamedTuple):
    """What `larder load --json` said at the end of a load under a screening."""

    screening: str
    told: dict[str, Any]


class Desk:
    """An analyst's desk: risk's rules and switch over HTTP."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
        self._client = httpx.Client(
            base_url=f"http://{host}:{settings.port('risk')}",
            headers={"Authorization": f"Bearer {create(settings, 'risk_analyst', name='comparison')}"},
            timeout=PATIENCE_S,
            trust_env=False,
            transport=transport,
        )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Afterwards rules and switch are as they were before."""
        before = Screening("as before", self.rules(), self._call("GET", "/switch")["on"])
        try:
            yield
        finally:
            self.set(before)

    def set(self, screening: Screening) -> None:
        """Screens like this from the next order on; only what differs is written."""
        now, wanted = self.rules(), screening.rules
        why = {"reason": f"a comparison (larder adversaries): {screening.name}"}
        for name in now.rules.keys() - wanted.rules.keys():
            self._call("DELETE", f"/rules/{name}", query=why)
        for name, rule in wanted.rules.items():
            if now.rules.get(name) != rule:
                self._call("PUT", f"/rules/{name}", msgspec.to_builtins(rule) | why)
        if now.levels != wanted.levels:
            self._call("PUT", "/levels", msgspec.to_builtins(wanted.levels) | why)
        self._call("PUT", "/switch", {"on": screening.on})
        now = self.rules()
        if (now.rules, now.levels) != (wanted.rules, wanted.levels):
            raise LoadError(f"risk's rules are not those of {screening.name!r}: somebody else changes them, too")

    def rules(self) -> RuleSet:
        """The rules in force."""
        told = self._call("GET", "/rules")
        known = Rule.__struct_fields__
        rules = {item["name"]: {name: item[name] for name in known if name in item} for item in told["items"]}
        levels = {name: told["levels"].get(name) for name in ("restrict", "refer", "refuse")}
        try:
            return rules_of({"rules": rules, "levels": levels}, told["version"])
        except BadRules as wrong:
            raise LoadError(f"risk has rules that make no sense here: {wrong}") from None

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        try:
            answer = self._client.request(method, path, json=body, params=query)
        except httpx.TransportError as error:
            told = f"{error or type(error).__name__}"
        else:
            if answer.is_success:
                return answer.json() if answer.content else None
            told = f"{answer.status_code} {answer.text[:300]}"
        raise LoadError(f"{method} {self._client.base_url}{path} was not taken: {told}; is risk up? `larder status`")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


# What is shown. -------------------------------------------------------------------------------------------------------


def table(outcomes: Sequence[Outcome]) -> str:
    """Two tables in Markdown: all adversaries and customers by screening, and the kinds of adversaries."""
    most = max((_locked(outcome.told["screening"]["adversaries"]) for outcome in outcomes), default=0)
    lines = [
        "| screening | adversaries' orders | cleared | restricted | referred | refused | stock-time they took, piece-s "
        "| customers' orders | restricted | referred | refused | customers not cleared, though honest |",
        f"|{' --- |' * 12}",
    ]
    for name, told in outcomes:
        hostile, honest = told["screening"]["adversaries"], told["screening"]["honest"]
        mistaken, accounts = honest["mistaken"]["accounts"], honest["accounts"]
        cells = (
            name,
            _counted(hostile["orders"]),
            _counted(hostile["cleared"]),
            *(_counted(hostile[verdict]) for verdict in DOUBTS),
            f"{_locked(hostile):,.0f} ({_share(_locked(hostile), most)})",
            _counted(honest["orders"]),
            *(f"{honest[verdict]:,} ({_share(honest[verdict], honest['orders'])})" for verdict in DOUBTS),
            f"{mistaken:,} of {accounts:,} ({_share(mistaken, accounts)})",
        )
        lines.append(f"| {' | '.join(cells)} |")
    names = " | ".join(outcome.screening for outcome in outcomes)
    lines += [
        "",
        f"| kind: orders not cleared; piece-s | {names} |",
        f"| --- |{' --- |' * len(outcomes)}",
    ]
    for kind in KINDS:
        kinds = [outcome.told["screening"]["adversaries"]["kinds"].get(kind) for outcome in outcomes]
        cells = tuple(
            f"{_share(one['orders'] - one['cleared'], one['orders'])}; {_locked(one):,.0f}" if one else "none"
            for one in kinds
        )
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(outcomes: Sequence[Outcome], file: Path) -> None:
    """The picture, as SVG: the same outcomes give the same bytes."""
    from matplotlib.figure import Figure  # a second to load: only who draws does

    names = [outcome.screening.replace(" ", "\n") for outcome in outcomes]
    screened = [outcome.told["screening"] for outcome in outcomes]
    with pen():
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        taken, honest = figure.subplots(1, 2)
        kinds = {
            kind: [_locked(one["adversaries"]["kinds"].get(kind, {})) for one in screened]
            for kind in KINDS
            if any(kind in one["adversaries"]["kinds"] for one in screened)
        }
        _stack(taken, names, kinds, COLOURS, "{:,.0f}")
        taken.set_title("stock that adversaries locked, piece-seconds")
        doubts = {
            verdict: [100 * one["honest"][verdict] / max(1, one["honest"]["orders"]) for one in screened]
            for verdict in DOUBTS
        }
        _stack(honest, names, doubts, COLOURS[3:], "{:.1f}%")
        honest.set_title("customers' orders that were not cleared, %")
        for axes in (taken, honest):
            axes.spines[["top", "right"]].set_visible(False)
            axes.margins(y=0.1)
            axes.legend(frameon=False)
        file.write_text(as_svg(figure))


def _stack(
    axes: Any, names: Sequence[str], parts: Mapping[str, Sequence[float]], colours: Sequence[str], form: str
) -> None:
    """Bars of several parts, with the sum of each written on top."""
    below = [0.0] * len(names)
    for (part, heights), colour in zip(parts.items(), colours, strict=False):
        axes.bar(names, heights, bottom=below, color=colour, label=part)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    for number, height in enumerate(below):
        axes.annotate(form.format(height), (number, height), ha="center", va="bottom")


def _locked(one: Mapping[str, Any]) -> float:
    return float(one.get("locked_piece_s", 0))


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "none"


def _counted(number: int) -> str:
    return f"{number:,}"
