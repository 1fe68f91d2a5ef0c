"""Who yields the processor to whom, as the kernel says it."""

import os
import threading

import pytest

from tailrace.priority import never_preempt


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has such policies")
def test_a_background_thread_does_not_preempt_and_the_others_stay_as_they_were():
    before, found = os.sched_getscheduler(0), []

    def work():
        never_preempt()
        found.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before
