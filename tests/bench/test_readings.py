"""CPU and memory from /proc, batches from /metrics."""

import os
import subprocess
import sys

import httpx
import pytest

from larder.bench import readings
from larder.bench.readings import Counts, Process, counts, counts_in, machine, others_percent, read, used
from larder.load.errors import LoadError
from larder.stack.process import Identity
from tests.bench.controls import reading

TICKS = readings.TICKS


def process(proc, pid, parent, *, own=0, reaped=0, started=7, title="x"):
    """One process of a made-up /proc; `own` and `reaped` in ticks."""
    folder = proc / str(pid)
    folder.mkdir()
    # state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime prio nice threads
    # itrealvalue starttime vsize rss
    fields = f"S {parent} 0 0 0 0 0 0 0 0 0 {own} 1 {reaped} 2 20 0 1 0 {started} 0 256"
    (folder / "stat").write_text(f"{pid} (a (bad) name) {fields} 0 0\n")
    (folder / "cmdline").write_text(f"{title}\0\0\0")


@pytest.fixture
def proc(tmp_path):
    """A stack (supervisor 10) with two services and a database, a load (90), and somebody else (99)."""
    (tmp_path / "stat").write_text(f"cpu  {3 * TICKS} {TICKS} {2 * TICKS} 500 70 0 0 {5 * TICKS} 0 0\ncpu0 1 2 3\n")
    (tmp_path / "self").mkdir()
    process(tmp_path, 10, 1, own=TICKS - 1)
    process(tmp_path, 11, 10, own=2 * TICKS - 1, reaped=TICKS - 2)
    process(tmp_path, 12, 10, own=4 * TICKS - 1)
    process(tmp_path, 20, 12, own=1, title="postgres: order order 127.0.0.1(44934) idle")
    process(tmp_path, 21, 12, own=2, title="postgres: checkpointer ")
    process(tmp_path, 22, 12, own=3, title="postgres: postgres order 127.0.0.1(1) idle")
    process(tmp_path, 23, 11, own=4)
    process(tmp_path, 90, 3, own=5)
    process(tmp_path, 99, 1, own=6)
    return tmp_path


def test_every_process_counts_for_its_part(proc):
    """Children for their parent's part, those that serve a database for that one; strangers for nobody."""
    told = read({10: "supervisor", 11: "order", 12: "postgres", 90: "load"}, proc)
    parts = {identity.pid: seen.part for identity, seen in told.processes.items()}
    assert parts == {
        10: "supervisor",
        11: "order",
        12: "postgres",
        20: "order database",
        21: "postgres",
        22: "postgres",
        23: "order",
        90: "load",
    }
    order = told.processes[Identity(11, 7)]
    assert order == Process("order", Identity(10, 7), 2, 1, 256 * os.sysconf("SC_PAGE_SIZE"))
    assert (told.busy_s, told.stolen_s) == (6, 5)


def test_a_process_that_ends_while_it_is_looked_at_is_left_out(proc):
    """Its folder is there, and its file cannot be read any more."""
    (proc / "77").mkdir()
    assert 77 not in {identity.pid for identity in read({77: "order"}, proc).processes}


def test_cpu_of_the_dead_is_counted_once():
    """What a backend used before the first reading is not counted when its parent reaps it; what it used since, is."""
    parent, child = Identity(1, 1), Identity(2, 1)
    before = reading(
        0, more={parent: Process("postgres", None, 1, 0, 0), child: Process("order database", parent, 5, 0, 0)}
    )
    after = reading(1, more={parent: Process("postgres", None, 1.5, 5.25, 0)})
    assert used(before, after) == {"postgres": pytest.approx(0.75)}


def test_one_that_began_meanwhile_counts_whole():
    """Even with a pid that another one had before."""
    before = reading(0, (1, "order", 3.0))
    after = reading(1, more={Identity(1, 9): Process("order", None, 0.5, 0, 0)})
    assert used(before, after) == {"order": 0.5}


def test_what_others_used_is_what_is_left():
    """Of one core: 100 is a whole one."""
    before, after = reading(0, (1, "order", 1.0), busy_s=10), reading(2, (1, "order", 2.5), busy_s=12)
    assert others_percent(before, after) == 25


def test_a_real_process_is_read():
    """One of our own that works: about as much CPU as it says itself."""
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint('.', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        told = read({os.getpid(): "us", child.pid: "child"})
        (seen,) = (process for process in told.processes.values() if process.part == "child")
        child.communicate(b"\n")
    assert seen.cpu_s == pytest.approx(0.3, abs=0.2)
    assert seen.resident > 2**20
    assert told.busy_s > seen.cpu_s


PAGE = """# HELP larder_batches_total Transactions committed by the worker
larder_batches_total{service="order"} 12.0
larder_messages_total{service="order"} 6228.0
larder_messages_created{service="order"} 1.7e+09
larder_batch_seconds_bucket{le="0.01",service="order"} 9.0
"""


def test_batches_are_read_from_metrics(monkeypatch):
    """A service that has decided nothing yet has no such line."""
    assert counts_in(PAGE, "order") == Counts(12, 6228)
    assert counts_in(PAGE, "risk") == Counts(0, 0)
    monkeypatch.setattr(
        httpx, "get", lambda url, **named: httpx.Response(200, text=PAGE, request=httpx.Request("GET", url))
    )
    assert counts({"order": 1}) == {"order": Counts(12, 6228)}


def test_a_service_that_does_not_answer_is_told():
    """By name and address."""
    with pytest.raises(LoadError, match=r"order does not tell what it counts \(http://127.0.0.1:1/metrics\)"):
        counts({"order": 1})


def test_the_machine_is_described():
    """By what Linux says of it."""
    told = machine()
    assert told["cpu"]
    assert 1 <= told["cores"] <= (os.cpu_count() or 1)
    assert told["memory_gib"] > 0.1
