"""Sweepers that are killed half-way: the next one completes what they left, and the documents do not show it."""

import json
import signal
from collections import Counter

import pytest

from tailrace.config import SpoolSettings
from tailrace.spool.append import Spool
from tailrace.spool.directory import SpoolDirectory
from tailrace.spool.frame import NO_SPAN, pack
from tests.system.scripts import run, spools, start, stored_documents

pytestmark = pytest.mark.anyio

STEPS = 6000
AGENT = f"""
import json, os, tailrace
log = tailrace.configure_logger("swept", publish="external", spool={{"segment_bytes": 65536}})
with log.run(): pass
log.start_interaction("a")
for step in range({STEPS}): log.log_action("step", input_data=step)
stats = log.stats()
print(json.dumps([stats.calls, stats.accepted, stats.dropped]), flush=True)
os._exit(0)
"""
SWEEPER = """
import sys, anyio
from pathlib import Path
from tailrace.config import load
from tailrace.publish import sweep
from tailrace.publish.pace import GENTLE
from tailrace.registry import open_bus
wanted, left = sys.argv[1], [int(sys.argv[2])]
def pass_by(moment):
    left[0] -= moment == wanted
    if not left[0]:
        print("half-way", flush=True)
        sys.stdin.readline()
def before(real, moment_of):
    def call(*given, **named):
        pass_by(moment_of(*given))
        return real(*given, **named)
    return call
async def main():
    config = load()
    bus = open_bus(config)
    real = bus.publish
    async def publish(records):
        await real(records)
        pass_by("published")
    bus.publish = publish
    Path.unlink = before(Path.unlink, lambda path, *_: path.name)
    Path.rmdir = before(Path.rmdir, lambda path: "directory")
    sweep.publish_lost = before(sweep.publish_lost, lambda *_: "lost")
    await sweep.sweep(config, bus, GENTLE)  # as publishers do beside their work: in many small publishes
anyio.run(main)
"""
DELETED = ["segment-00000001.frames", "segment-00000009.frames", "aside", "runs", "cursor", "about.json"]
MOMENTS = [
    *[("published", number) for number in (1, 3, 7)],
    ("lost", 1),
    *[(name, 1) for name in (*DELETED, "ship.lock", "owner.lock", "directory")],
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0]}-{moment[1]}")
async def test_a_sweeper_killed_half_way_loses_nothing_and_doubles_nothing_in_documents(moment):
    _, out, err = run(AGENT)
    calls, accepted, dropped = json.loads(out)
    assert (calls, dropped, err) == (accepted, {}, "")
    with start(SWEEPER, *moment) as sweeper:
        assert sweeper.stdout.readline() == "half-way\n", sweeper.communicate()[1]
        assert spools() != []
        sweeper.send_signal(signal.SIGKILL)
    documents = await stored_documents()
    assert spools() == []
    assert Counter(document["state"] for document in documents) == {"complete": 1, "abandoned": 1}
    (broken,) = [document for document in documents if document["state"] == "abandoned"]
    assert [action["input_data"] for action in broken["interactions"][0]["actions"]] == list(range(STEPS))
    notices = sum(event["type"] == "producer.lost" for event in broken["other_events"])
    assert notices >= 1
    assert sum(document["counts"]["events"] for document in documents) - notices == accepted
    assert all(document["integrity"]["gaps"] == {} for document in documents)


def orphans(root, count):
    """As many spools of dead producers, three frames each; but for the first they are copies of its files."""
    first = Spool(root, "0" * 24, SpoolSettings(segment_bytes=4096), "internal")
    for number in range(3):
        first.append(pack(number, "tailrace.events.w", b"k" * 32, NO_SPAN, b"%d" % number))
    first.release()
    content = first.directory.segment(1).read_bytes().rstrip(b"\0")
    for number in range(1, count):
        copy = SpoolDirectory(root / f"{number:024x}")
        copy.path.mkdir()
        copy.segment(1).write_bytes(content)
        copy.owner_lock.touch()


SWEEP_ALL = """
import json, re, time, anyio
from pathlib import Path
from tailrace.config import load
from tailrace.publish import ship
from tailrace.registry import open_bus
config = load()
def peak():  # not getrusage: its peak begins with that of the process that started this one
    return int(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
async def main():
    bus = open_bus(config)
    await bus.create_topics(["tailrace.events.w"])
    before, begin = peak(), time.monotonic()
    report = await ship(config, bus)
    seconds, kib = time.monotonic() - begin, peak() - before
    await bus.aclose()
    print(json.dumps([report.spools, report.records, report.errors, seconds, kib]))
anyio.run(main)
"""


@pytest.mark.timeout(180)
def test_two_thousand_orphans_are_swept_in_one_go_in_bounded_memory(tmp_path):
    count = 2_000
    orphans(tmp_path / ".tailrace" / "spool", count)
    status, out, err = run(SWEEP_ALL)
    assert (status, err) == (0, "")
    spools_, records, errors, seconds, kib = json.loads(out)
    print(f"{seconds:.1f} s, {kib / 1024:.1f} MiB more")
    assert (spools_, records, errors) == (count, 3 * count, [])
    assert kib < 32 << 10
    assert spools() == []
