"""What can go wrong with the stack, told so that the reader knows what to do next."""

from pathlib import Path

LOG_TAIL_LINES = 25


class StackError(RuntimeError):
    """The stack cannot do what was asked. The message says what was tried and what to do; `log` may tell more."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.log = log

    def __str__(self) -> str:
        end = tail(self.log) if self.log else ""
        return f"{self.message}\n--- the end of {self.log} ---\n{end}" if end else self.message


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log; empty if there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
