"""A logger on a spool that nothing ships, and a way to read what it recorded."""

import pytest

import tailrace
from tailrace.document import collect
from tailrace.document.view import render
from tailrace.event import decode
from tailrace.logger import state
from tailrace.spool.directory import all_in
from tailrace.spool.tail import Tail


def spooled(home=".tailrace"):
    """Every event on the spools under `home`, in the order of each producer."""
    from pathlib import Path

    found = []
    for directory in all_in(Path(home) / "spool"):
        tail = Tail(directory)
        while window := tail.read(final=True):
            found += [decode(frame.value) for frame in window.frames]
    return found


def documents(home=".tailrace"):
    """The document of each run on the spools, as people read it, in the order in which the runs began."""
    import msgspec

    return [msgspec.json.decode(render(document)) for document in collect(spooled(home)).values()]


@pytest.fixture
def log():
    state.reset()
    yield tailrace.configure_logger(workflow_name="support-bot", publish="external")
    state.reset()
