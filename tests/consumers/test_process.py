import platform
import subprocess
import sys

import pytest

PROGRAM = """
import gc, resource, sys
from contextlib import nullcontext
from tailrace_consumers.process import memory_of_a_worker

def fetch():
    for _ in range(20):
        held = [bytes(1 << 20) for _ in range(8)]
        del held

before = gc.get_threshold()
with memory_of_a_worker() if sys.argv[1] == "worker" else nullcontext():
    fetch()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    fetch()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    print(faults, gc.get_threshold() == before, gc.get_freeze_count())
print(gc.get_threshold() == before, gc.get_freeze_count())
"""


def run(kind):
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told")
def test_a_workers_process_gets_no_new_pages_for_what_it_frees_and_needs_again():
    faults, *_ = run("plain")
    kept, untouched, frozen, *after = run("worker")
    assert int(faults) > 1_000
    assert int(kept) < int(faults) / 20
    assert untouched == "False"
    assert int(frozen) > 0
    assert after == ["True", "0"]
