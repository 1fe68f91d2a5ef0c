"""A program without the extra `fast` beside one with it, on one home: two versions of spools, a companion for each."""

import os
import signal
from pathlib import Path

import pytest

from tests.system.scripts import companions_gone, spools, start, stored_documents

pytestmark = pytest.mark.anyio

WITHOUT = "import sys; sys.path.insert(0, 'without')\n"
PROGRAM = """
import asyncio, json, sys
import tailrace
from tailrace.spool.frame import VERSION
log = tailrace.configure_logger(sys.argv[1], publish="companion")
def work(count):
    with log.run():
        for step in range(count): log.log_action("step", input_data=step)
work(2_000)
print(VERSION, asyncio.run(log.flush("broker", timeout=60)).reached, flush=True)
work(1_000)
print("done", flush=True)
input()
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    pytest.importorskip("xxhash", reason="the extra `fast` is not installed")
    monkeypatch.chdir(tmp_path)
    for name in ("xxhash", "google_crc32c"):
        path = Path("without", f"{name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise ImportError('the extra is not installed')")


async def test_killed_programs_with_and_without_the_extra_lose_nothing_to_each_others_companions():
    with start(PROGRAM, "with") as one, start(WITHOUT + PROGRAM, "without") as other:
        said = [process.stdout.readline().split() for process in (one, other)]
        assert said == [["2", "True"], ["1", "True"]]
        assert len(list(Path(".tailrace/spool").glob("companion-*.lock"))) == 2  # noqa: ASYNC240
        for process in (one, other):
            assert process.stdout.readline() == "done\n"
            os.kill(process.pid, signal.SIGKILL)
    await companions_gone()
    assert spools() == []
    found = await stored_documents()
    counts = sorted((each["workflow_name"], each["counts"]["actions"]) for each in found)
    assert counts == [("with", 1_000), ("with", 2_000), ("without", 1_000), ("without", 2_000)]
    assert all(each["integrity"]["complete"] for each in found)
