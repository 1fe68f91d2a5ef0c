"""Processes that tests start by the dozen: forked from one that has imported everything, in a tenth of the time."""

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *("tests.soak.agent", "tests.system.consumers.worker"),
        *("tailrace.publish.loop", "tailrace.bus.kafka", "tailrace.store.sqlite", "tailrace.store.opensearch"),
        *("tailrace_consumers.all", "anyio._backends._asyncio", "tomllib"),  # the last two else at their first use
    ]
)
