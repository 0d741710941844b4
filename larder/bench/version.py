"""What is measured: this checkout as it is, and another commit of it in a worktree and an environment of its own."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from larder.bench.child import Told, run, undisturbed
from larder.load.errors import LoadError

ROOT = Path(__file__).parents[2]
"""The checkout that we run from."""
LOCK = "requirements.lock"
AFTER_SHARE = "--after-share"
"""An option of `larder load` that an old version has not: there nobody complains after the delivery."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Version:
    """One checkout, with the Python of its environment."""

    name: str
    """Its short commit id; with `+changes` when files differ from the commit."""
    commit: str
    """The commit's id in full; empty where git knows nothing."""
    root: Path
    python: Path

    def larder(
        self, env: Mapping[str, str], *arguments: object, hear: Callable[[int, str], None] = lambda pid, line: None
    ) -> Told:
        """Runs a command of this version's own."""
        command = [str(self.python), "-P", "-m", "larder.cli", *map(str, arguments)]
        return run(command, cwd=self.root, env=env, hear=hear)

    def knows(self, option: str) -> bool:
        """Whether its `larder load` has an option; a LoadError if there is no `larder load` to ask."""
        told = self.larder(surroundings(), "load", "--help").needed(f"`larder load --help` of {self.name}")
        return option in "\n".join(told.out)


def surroundings() -> dict[str, str]:
    """Our environment without what somebody has set for a stack of theirs, and for their Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LARDER_", "PYTHONPATH"))}


def here(say: Say, root: Path = ROOT) -> Version:
    """The checkout that we run from, as it is; says so when that is not what is committed."""
    commit = "".join(_git(root, "rev-parse", "HEAD").out)
    if not commit:
        say(f"{root} is no git checkout: what is measured has no commit id")
        return Version("this", "", root, Path(sys.executable))
    changed = _git(root, "status", "--porcelain").out
    name = commit[:7]
    if changed:
        name += "+changes"
        files = "1 file differs" if len(changed) == 1 else f"{len(changed)} files differ"
        say(f"{files} from commit {commit[:7]}: measured as it is ({name})")
    return Version(name, commit, root, Path(sys.executable))


def commit_of(rev: str, root: Path = ROOT) -> str:
    """The id of the commit that somebody means; a LoadError if there is none."""
    # No program can be given a NUL.
    if "\x00" in rev or (told := _git(root, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}")).code:
        raise LoadError(f"there is no commit {rev[:80]!r} in {root}: `git log --oneline` lists those there are")
    return told.out[0]


@contextmanager
def other(commit: str, say: Say, root: Path = ROOT) -> Iterator[Version]:
    """Another commit, in a worktree of its own that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="larder-bench-"))
    place = folder / "larder"
    try:
        _git(root, "worktree", "add", "--detach", place, commit).needed(f"`git worktree add` for {commit[:7]}")
        yield Version(commit[:7], commit, place, _environment(place, root, say))
    finally:
        with undisturbed():
            _git(root, "worktree", "remove", "--force", place)
            shutil.rmtree(folder, ignore_errors=True)


def _environment(place: Path, root: Path, say: Say) -> Path:
    """Makes the environment of a worktree; its Python. It is the same Python as ours: only the code is to differ."""
    environment = place / ".venv"
    base = Path(sys.executable).resolve()
    if sys.prefix != sys.base_prefix and (place / LOCK).read_bytes() == (root / LOCK).read_bytes():
        # Nothing differs but larder itself: our packages serve both, and its own code comes first.
        run([base, "-m", "venv", "--without-pip", environment], cwd=place).needed(f"`python -m venv` in {place}")
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
        (packages / "bench.pth").write_text(f"{place}\n{sysconfig.get_path('purelib')}\n")
    else:
        say(f"{LOCK} differs: making an environment of its own (make env, a minute or two)")
        run(["make", "env", f"PYTHON={base}"], cwd=place).needed(f"`make env` in {place}")
    # Kafka's jars lie with the environment; they are fetched once for both, each version under its own name.
    jars = Path(sys.prefix) / "share" / "larder"
    jars.mkdir(parents=True, exist_ok=True)
    shared = environment / "share" / "larder"
    shared.parent.mkdir(exist_ok=True)
    shared.symlink_to(jars)
    return environment / "bin" / "python"


def _git(root: Path, *arguments: object) -> Told:
    try:
        return run(["git", *map(str, arguments)], cwd=root)
    except FileNotFoundError:
        raise LoadError("there is no git on the PATH: without it only this checkout can be measured") from None
