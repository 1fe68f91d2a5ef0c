"""Thousands of tasks on one loop beside threads, each in a run of its own: every document exact, none mixed."""

import asyncio
import threading

import pytest

import tailrace
from tests.logger.conftest import documents

TASKS, THREADS, ACTIONS = 5_000, 32, 20
AGENTS = ("planner", "critic", "writer")


async def task(log, number):
    async with log.run(number=number) as run:
        for agent in AGENTS:
            with run.interaction(agent, input=number):
                for step in range(ACTIONS // len(AGENTS)):
                    log.log_action("step", [number, agent, step])
                await asyncio.sleep(0)
        log.info("last")
        log.info(number)


def thread(number):
    for agent in AGENTS:
        decorated(agent, number)


@tailrace.workflow("threads")
def workflow(number):
    thread(number)


def decorated(agent, number):
    @tailrace.agent(agent)
    def turn(number):
        for step in range(ACTIONS // len(AGENTS)):
            tailrace.get_logger().log_action("step", [number, agent, step])

    turn(number)


@pytest.mark.timeout(600)  # seconds on a machine of its own; minutes on one that is shared
def test_five_thousand_tasks_and_thirty_two_threads_at_once(log):
    async def main():
        await asyncio.gather(*(task(log, number) for number in range(TASKS)))

    threads = [threading.Thread(target=workflow, args=(number,)) for number in range(THREADS)]
    for each in threads:
        each.start()
    asyncio.run(main())
    for each in threads:
        each.join()
    seen = {"support-bot": set(), "threads": set()}
    for document in documents():
        fields = document["fields"]
        number = fields["number"] if "number" in fields else fields["input_data"]["number"]
        seen[document["workflow_name"]].add(number)
        assert document["integrity"]["complete"]
        assert [turn["agent_name"] for turn in document["interactions"]] == list(AGENTS)
        for turn in document["interactions"]:
            given = [action["input_data"] for action in turn["actions"]]
            assert given == [[number, turn["agent_name"], step] for step in range(ACTIONS // len(AGENTS))]
        said = [line["message"] for line in document["logs"]]
        assert said == (["last", number] if document["workflow_name"] == "support-bot" else [])
    assert seen == {"support-bot": set(range(TASKS)), "threads": set(range(THREADS))}
