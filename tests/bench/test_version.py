"""What is measured: this checkout, and another commit in a worktree of its own."""

import subprocess

import pytest

from larder.bench import version
from larder.bench.version import commit_of, here, other
from larder.load.errors import LoadError

HELLO = "import sys; print(sys.argv[1:], {answer})"


@pytest.fixture
def checkout(tmp_path):
    """A repository with two commits of a made-up larder, which answers 1 and then 2."""
    root = tmp_path / "checkout"
    (root / "larder").mkdir(parents=True)

    def git(*words: str) -> None:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *words]
        subprocess.run(command, cwd=root, check=True, capture_output=True)

    git("init", "--quiet")
    (root / "requirements.lock").write_text("none\n")
    (root / "larder" / "__init__.py").touch()
    for answer in (1, 2):
        (root / "larder" / "cli.py").write_text(HELLO.format(answer=answer))
        git("add", ".")
        git("commit", "--quiet", "--message", f"answers {answer}")
    return root


def worktrees(root) -> int:
    """How many there are, the checkout itself among them."""
    return len(version._git(root, "worktree", "list").out)


def test_another_commit_has_a_place_of_its_own_while_it_is_measured(checkout):
    """Its own code with our packages, since nothing else differs; and nothing is left of it."""
    with other(commit_of("HEAD~1", checkout), lambda line: pytest.fail(line), checkout) as that:
        told = that.larder({}, "load", 7).needed("it")
        assert told.out == ["['load', '7'] 1"]
        assert worktrees(checkout) == 2
        assert that.name == that.commit[:7]
    assert worktrees(checkout) == 1
    assert not that.root.exists()


def test_nothing_is_left_of_it_when_it_is_broken_off(checkout):
    """A Ctrl-C, for one."""
    with pytest.raises(KeyboardInterrupt), other(commit_of("HEAD", checkout), print, checkout) as that:
        raise KeyboardInterrupt
    assert worktrees(checkout) == 1
    assert not that.root.exists()


def test_other_packages_want_an_environment_of_their_own(checkout):
    """Made by that commit's own Makefile; here it has none, which is told."""
    (checkout / "requirements.lock").write_text("some\n")
    said: list[str] = []
    with (
        pytest.raises(LoadError, match=r"`make env` in .* ended with exit code 2"),
        other(commit_of("HEAD", checkout), said.append, checkout),
    ):
        pytest.fail("it cannot be measured")
    assert said == ["requirements.lock differs: making an environment of its own (make env, a minute or two)"]
    assert worktrees(checkout) == 1


@pytest.mark.parametrize("rev", ["nothing-of-that-name", "", "-x", "--all", "HEAD HEAD", "HEAD:larder", "HEAD~99"])
def test_what_is_no_commit_is_told(rev, checkout):
    """Nor is an option of git's, a file, or two commits."""
    with pytest.raises(LoadError, match="there is no commit"):
        commit_of(rev, checkout)


def test_files_that_differ_are_measured_as_they_are(checkout):
    """And that is said, in the name as well."""
    said: list[str] = []
    clean = here(said.append, checkout)
    assert (said, clean.commit) == ([], commit_of("HEAD", checkout))
    (checkout / "new.py").touch()
    assert here(said.append, checkout).name == f"{clean.name}+changes"
    assert said == [f"1 file differs from commit {clean.name}: measured as it is ({clean.name}+changes)"]


def test_a_checkout_without_git_has_no_commit(tmp_path):
    """It can be measured alone."""
    said: list[str] = []
    assert here(said.append, tmp_path).name == "this"
    assert "no git checkout" in said[0]


def test_a_larder_without_a_load_is_told(checkout):
    """Too old, or broken: its last words are shown."""
    (checkout / "larder" / "cli.py").write_text("raise SystemExit('no such thing')")
    with other(commit_of("HEAD", checkout), print, checkout) as that:
        (that.root / "larder" / "cli.py").write_text("raise SystemExit('no such thing')")
        with pytest.raises(LoadError, match=r"`larder load --help` of \w+ ended with exit code 1:\nno such thing"):
            that.knows("--x")
