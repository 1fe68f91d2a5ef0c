"""Which runs a producer opened and ended: notes beside its segments, for whoever finds it dead."""

from __future__ import annotations

import os

import msgspec

from tailrace.spool import files
from tailrace.spool.directory import SpoolDirectory


class RunNotes:
    """The producer's side. Each note is one write between newlines, so a torn one spoils no other."""

    def __init__(self, directory: SpoolDirectory) -> None:
        self._fd = files.open_to_append(directory.runs)

    def opened(self, run: str, workflow: str) -> None:
        self._note(["+", run, workflow])

    def ended(self, run: str) -> None:
        self._note(["-", run, ""])

    def move(self, directory: SpoolDirectory) -> None:
        """Go on in another directory, with the notes made so far, even if their file was deleted meanwhile."""
        fd = files.open_to_append(directory.runs)
        os.write(fd, os.pread(self._fd, os.fstat(self._fd).st_size, 0))
        old, self._fd = self._fd, fd
        os.close(old)

    def close(self) -> None:
        os.close(self._fd)

    def _note(self, note: list[str]) -> None:
        os.write(self._fd, b"\n" + msgspec.json.encode(note) + b"\n")


def open_runs(directory: SpoolDirectory) -> dict[str, str]:
    """Run id -> workflow of the runs that the producer opened and did not end, as far as its notes are whole.

    Raises:
        OSError: they cannot be read now.
    """
    found: dict[str, str] = {}
    try:
        lines = files.read(directory.runs).split(b"\n")
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            sign, run, workflow = msgspec.json.decode(line, type=tuple[str, str, str])
        except msgspec.MsgspecError:
            continue  # the empty lines between notes, or one torn by the crash
        if sign == "+":
            found[run] = workflow
        else:
            found.pop(run, None)
    return found
