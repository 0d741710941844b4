"""Two pictures of a bench: CPU an order by part, and how long orders wait at each rate."""

from __future__ import annotations

from larder.bench.figures import CPU, KAFKA, SHARES, Bench, at, contestants, name_of, parts, rates, row, wait
from larder.pictures import COLOURS, as_svg, pen
from shared.settings import SERVICES

OF_NO_SERVICE = {
    KAFKA: "#666666",
    "load": "#aaaaaa",
    "signals": "#88bb88",
    "gateway database": "#998811",
    "postgres": "#8899aa",
}
REST = "#cc99cc"
LINES = tuple(COLOURS[n] for n in (0, 4, 2, 5, 3, 1))
"""For few contestants, the colours that differ most."""


def draw_cpu(bench: Bench) -> str:
    """CPU an order by part, at saturation: a bar for each contestant."""
    from matplotlib.figure import Figure

    names = [name_of(who, bench) for who in contestants(bench)]
    with pen():
        figure = Figure(figsize=(10, 1.6 + 0.7 * len(names)), layout="constrained")
        axes = figure.subplots()
        left = [0.0] * len(names)
        for part in parts(bench, *CPU):
            widths = [spread.median if spread else 0 for spread in row(bench, part, at(*CPU, part)).cells]
            colour, alpha = _look(part)
            axes.barh(names, widths, left=left, color=colour, alpha=alpha, label=part)
            left = [low + width for low, width in zip(left, widths, strict=True)]
        for number, end in enumerate(left):
            axes.annotate(f" {end:,.0f}", (end, number), va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.1 * max(left))
        axes.set_title("CPU an order as fast as it goes, µs by part (medians)")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
        return as_svg(figure)


def _look(part: str) -> tuple[str, float]:
    service, _, database = part.partition(" ")
    if service in SERVICES:
        return COLOURS[SERVICES.index(service)], 0.55 if database else 1
    return OF_NO_SERVICE.get(part, REST), 1


def draw_latency(bench: Bench) -> str:
    """From placing to payable over the rate: medians, and from the least to the most turn."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    tried = rates(bench)
    with pen():
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        axes = figure.subplots()
        for share, line in zip(SHARES, ("--", "-"), strict=True):
            waits = [wait(bench, load, share).cells for load in range(1, len(tried) + 1)]
            for number, (who, spreads) in enumerate(zip(contestants(bench), zip(*waits, strict=True), strict=True)):
                colour = LINES[number % len(LINES)]
                seen = [(rate, *spread) for rate, spread in zip(tried, spreads, strict=True) if spread]
                if seen:
                    at_rate, least, middle, most = zip(*seen, strict=True)
                    axes.plot(at_rate, middle, line, marker="o", color=colour, label=f"{name_of(who, bench)}, {share}")
                    axes.fill_between(at_rate, least, most, color=colour, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(tried, [f"{rate:g}" for rate in tried])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("orders a second")
        axes.set_title("place to payable, ms")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        return as_svg(figure)
