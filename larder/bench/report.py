"""A bench for people, in Markdown: the same on a terminal and in docs/benchmarks.md, where `larder docs` writes it from
the benches that lie in docs as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from larder.bench.figures import Bench, Row, Spread, contestants, name_of, rates, rows
from larder.bench.pictures import draw_cpu, draw_latency
from larder.load.errors import FileError

BEGIN, END = "<!-- benches: drawn by `larder docs` from docs/bench*.json -->", "<!-- /benches -->"


def report(bench: Bench) -> str:
    """All figures: the median of all turns, with the least and the most, and how it compares with the first column."""
    names = [name_of(who, bench) for who in contestants(bench)]
    turns = len(bench["runs"]) // len(names)
    head = "one turn each" if turns == 1 else f"medians of {turns} turns each (least to most)"
    compared = "; % is of the first column" if len(names) > 1 else ""
    lines = [*_about(bench), "", f"| {head}{compared} | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for title, group in rows(bench):
        lines.append(f"| **{title}** |{' |' * len(names)}")
        lines += [f"| {row.name} | {' | '.join(_cells(row))} |" for row in group]
    return "\n".join(lines)


def _about(bench: Bench) -> list[str]:
    machine, plan = bench["machine"], bench["plan"]
    parts = ", ".join(dict.fromkeys(run[part] for part in ("broker", "database") for run in bench["runs"]))
    memory = f", {machine['memory_gib']:g} GiB" if machine["memory_gib"] else ""
    settings = " ".join(f"{name}={value}" for name, value in bench["settings"].items())
    versions = ", ".join(f"{one['name']} ({one['commit'] or 'no commit'})" for one in bench["versions"])
    lines = [
        f"    {bench['command']}",
        "",
        f"{bench['at']}: {machine['cores']} cores of {machine['cpu']}{memory}; Python {bench['python']}, "
        f"{parts}; {settings}.",
        f"Each turn is a stack of its own: {plan['warm']:,} orders to warm up, then what is measured"
        + (f"; each rate lasts {plan['rate_s']:g} s" if rates(bench) else "")
        + f". Versions: {versions}.",
    ]
    if any(load["counted_orders"] == load["orders"] for run in bench["runs"] for load in run["loads"]):
        lines.append("CPU of loads that are too short to have a steady middle is that of all of it, waiting included.")
    return lines


def _cells(row: Row) -> list[str]:
    first, *others = row.cells
    told = [_cell(first, row.places)]
    for cell in others:
        of_first = (
            f", {100 * cell.median / first.median:.0f}%" if row.compared and cell and first and first.median else ""
        )
        told.append(_cell(cell, row.places) + of_first)
    return told


def _cell(cell: Spread | None, places: int) -> str:
    if cell is None:
        return "none"
    least, middle, most = (f"{value:,.{places}f}" for value in cell)
    return f"**{middle}**" if least == most else f"**{middle}** ({least} to {most})"


# In the docs. ---------------------------------------------------------------------------------------------------------


def pictures(bench: Bench) -> dict[str, str]:
    """The pictures of a bench, as SVG, by what their file's name ends with."""
    drawn = {"cpu": draw_cpu(bench)}
    return drawn | {"latency": draw_latency(bench)} if rates(bench) else drawn


def drawings(docs: Path) -> dict[Path, str]:
    """docs/benchmarks.md with a section for each bench*.json beside it, and their pictures."""
    drawn: dict[Path, str] = {}
    sections = []
    for file in sorted(docs.glob("bench*.json")):
        bench = read(file)
        sections.append(report(bench))
        for what, svg in pictures(bench).items():
            picture = file.with_name(f"{file.stem}-{what}.svg")
            drawn[picture] = svg
            sections.append(f"![{what} of {file.stem}]({picture.name})")
    page = docs / "benchmarks.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    written = "\n\n".join(sections) or "None was kept yet: `larder bench --keep docs/bench.json`, then `larder docs`."
    drawn[page] = f"{before}{BEGIN}\n{written}\n{END}{after}"
    return drawn


def read(file: Path) -> Bench:
    """A bench from its file."""
    try:
        bench = json.loads(file.read_text())
        if bench["runs"]:
            return dict(bench)
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(file, f"is no bench: {error}") from None
    raise FileError(file, "is a bench without a turn")
