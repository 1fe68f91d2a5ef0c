"""Where output goes: results to stdout, diagnostics to stderr."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

from tailrace.cli.escape import escape, escape_json

if TYPE_CHECKING:
    from rich.console import Console

# No line is cut or wrapped on its way into a file or another program.
_PIPE_WIDTH = 100_000


def stdout() -> Console:
    return _console(sys.stdout)


def stderr() -> Console:
    return _console(sys.stderr)


def _console(file: IO[str]) -> Console:
    from rich.console import Console  # noqa: PLC0415 - JSON output and errors need no rich

    width = None if file.isatty() else _PIPE_WIDTH
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False)


def say(text: str) -> None:
    """One line of diagnostics."""
    sys.stderr.write(f"tailrace: {escape(text)}\n")


def cause(error: BaseException) -> BaseException:
    """What failed first, out of the groups in which tasks that ran side by side raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def write_json(value: bytes, *, pretty: bool = False) -> None:
    """One JSON value to stdout, in one line; `pretty` breaks it into lines, but only on a terminal."""
    if sys.stdout.isatty():
        import msgspec  # noqa: PLC0415 - reading `--help` needs no msgspec

        text = msgspec.json.format(value, indent=2) if pretty else value
        sys.stdout.write(f"{escape_json(text.decode())}\n")
    else:
        sys.stdout.buffer.write(value + b"\n")


def flush() -> None:
    """Let a reader at the other end of a pipe see what was written."""
    sys.stdout.flush()


def tolerate_any_text() -> None:
    """Output never fails for a character that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def discard_stdout() -> None:
    """After a broken pipe: the flush at interpreter exit must not raise again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
