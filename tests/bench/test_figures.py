"""Medians, tables and pictures of a bench."""

import json
from xml.etree import ElementTree

import pytest

from larder.bench.figures import Contestant, Row, Spread, contestants, name_of, parts, rates, rows
from larder.bench.report import drawings, pictures, read, report
from larder.load.errors import FileError
from tests.bench.controls import TWO, bench, load, run


def figures(told) -> dict[str, Row]:
    """Rows by group and name."""
    return {f"{title}: {row.name}": row for title, group in rows(told) for row in group}


def test_each_figure_is_the_median_of_the_turns_with_least_and_most():
    """In the order of the first turns, whatever order the later ones had."""
    assert contestants(TWO) == [Contestant("old", 1), Contestant("new", 1)]
    told = figures(TWO)
    assert told["as fast as it goes: full lives a second"].cells == [Spread(700, 800, 900), Spread(1000, 1150, 1300)]
    assert told["as fast as it goes: CPU an order, µs"].cells == [Spread(930, 930, 930)] * 2
    assert told["as fast as it goes: of it order database"].cells[0] == Spread(180, 180, 180)
    assert told["as fast as it goes: batches an order"].cells[0] == Spread(0.03, 0.03, 0.03)
    assert told["100 orders a second: place to payable, p50, ms"].cells[1] == Spread(15, 16, 17)
    assert told["doing nothing: CPU beside the broker, % of a core"].cells[0] == Spread(3.5, 3.5, 3.5)


def test_what_was_not_told_is_left_out():
    """No order was payable in one of two turns, and no version has a figure of payment's batches."""
    told = figures(TWO)
    assert told["100 orders a second: place to payable, p99, ms"].cells[1] == Spread(31, 31, 31)
    assert told["as fast as it goes: messages a batch, payment"].cells == [None, None]


def test_parts_stand_with_their_databases():
    """Services first, in the order in which everybody lists them."""
    told = bench(
        run("a", load(None, cpu_us=dict.fromkeys(("kafka", "risk", "order database", "inventory", "order"), 1)))
    )
    assert parts(told, "loads", 0, "cpu_us") == ["order", "order database", "inventory", "risk", "kafka"]


def test_shards_are_named_where_there_are_several():
    """And only there."""
    told = bench(run("a", load(None)), run("a", load(None), shards=8))
    assert [name_of(who, told) for who in contestants(told)] == ["a, 1 shard", "a, 8 shards"]
    assert name_of(Contestant("old", 1), TWO) == "old"


def test_the_report_holds_against_the_first_column():
    """Least, median, most and the share; and on what it was measured."""
    told = report(TWO)
    assert "| medians of 2 turns each (least to most); % is of the first column | old | new |" in told
    assert "| full lives a second | **800** (700 to 900) | **1,150** (1,000 to 1,300), 144% |" in told
    assert "| CPU an order, µs | **930** | **930**, 100% |" in told
    assert "| messages a batch, payment | none | none |" in told
    assert "| all else on the machine, % of a core | **2.0** | **2.0** |" in told
    assert "2 cores of a processor, 23.5 GiB; Python 3.11.2, apache-kafka 4.1.1, postgresql 18.4" in told
    assert "each rate lasts 30 s" in told
    assert "waiting included" not in told
    assert rates(TWO) == [20, 100]


def test_the_report_says_when_cpu_is_that_of_a_whole_load():
    """Waiting for the last stragglers costs as well."""
    assert "waiting included" in report(bench(run("old", load(None, counted_orders=1000))))


@pytest.mark.parametrize("what", ["cpu", "latency"])
def test_pictures_can_be_read_on_any_page_and_are_the_same_each_time(what):
    """Text has the colour of the page; the same bench gives the same bytes."""
    svg = pictures(TWO)[what]
    assert svg == pictures(TWO)[what]
    root = ElementTree.fromstring(svg)
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"cpu": {"old", "new", "order database", "930"}, "latency": {"old, p50", "new, p99", "20", "100"}}[what] <= {
        word and word.strip() for word in words
    }
    assert "prefers-color-scheme:dark" in svg
    assert "fill: currentColor" in svg
    assert "#123456" not in svg


def test_without_rates_there_is_nothing_to_draw_over_them():
    """One picture less."""
    assert list(pictures(bench(run("old", load(None))))) == ["cpu"]


def test_kept_benches_are_written_into_the_docs(tmp_path):
    """Between the marks, each with its pictures; the rest of the page stays as it is."""
    page = tmp_path / "benchmarks.md"
    begin, end = "<!-- benches: drawn by `larder docs` from docs/bench*.json -->", "<!-- /benches -->"
    page.write_text(f"before\n{begin}\nold figures\n{end}\nafter\n")
    assert "None was kept yet" in drawings(tmp_path)[page]
    (tmp_path / "bench.json").write_text(json.dumps(TWO))
    (tmp_path / "bench-shards.json").write_text(json.dumps(bench(run("old", load(None)))))
    drawn = drawings(tmp_path)
    names = ["bench-cpu.svg", "bench-latency.svg", "bench-shards-cpu.svg", "benchmarks.md"]
    assert sorted(path.name for path in drawn) == names
    told = drawn[page]
    assert told.startswith(f"before\n{begin}\n")
    assert told.endswith(f"\n{end}\nafter\n")
    assert "old figures" not in told
    assert all(f"]({name})" in told for name in names[:3])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"runs": []}'])
def test_what_is_no_bench_is_refused(text, tmp_path):
    """By name: somebody wrote something else there."""
    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(FileError, match=r"bench\.json is (no|a) bench"):
        read(file)
