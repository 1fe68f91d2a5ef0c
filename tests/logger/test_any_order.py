"""Flat and scoped calls, decorators, handing over, the default workflow logger, all through an override: in any order,
from tasks and threads that interleave.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import Context

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import tailrace
from tailrace.document import collect
from tailrace.document.restore import restore
from tailrace.document.view import render
from tailrace.testing import capture_events

ACTORS = 4
actors = st.integers(0, ACTORS - 1)
names = st.sampled_from(["default", "named"])
NAMELESS = {
    "agent's own logger": lambda _, marker: tailrace.AgentLogger("speaker").info(marker),
    "workflow logger": lambda _, marker: tailrace.get_workflow_logger().log_action("speaker", marker, {}),
    "iteration of the workflow logger": lambda _, marker: tailrace.get_workflow_logger().start_iteration(marker),
}
"""What records where a logger without a name does."""


class Actor:
    """A task, by the context that it would have, or a thread; calls of the test are made in it."""

    def __init__(self, number):
        self.blocks = []
        """Entered, and which run each logger was in before."""
        if number % 2:
            self._pool = ThreadPoolExecutor(1)
            self.run = lambda fn, *arguments, **named: self._pool.submit(fn, *arguments, **named).result()
        else:
            self.run = Context().run

    def close(self):
        if hasattr(self, "_pool"):
            self._pool.shutdown()


class AnyOrder(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.capturing = capture_events(workflow_name="default", redact={"enabled": False})
        self.captured = self.capturing.__enter__()
        self.override = tailrace.override(lambda event, write: write(event), agent="speaker")
        self.loggers = {"default": tailrace.get_logger(), "named": tailrace.get_logger("named")}
        self.actors = [Actor(number) for number in range(ACTORS)]
        self.owners = {}
        """Run -> the actors that may record into it."""
        self.expected = {}
        """What was said -> the run it belongs to."""
        self.markers = itertools.count()
        self.seen = 0
        self.by = None

    def do(self, number, fn, *arguments, **named):
        self.by = number
        return self.actors[number].run(fn, *arguments, **named)

    def say(self, number, name, call):
        """A call with a marker: it goes into the run that the logger is in, or begins one."""
        logger, marker = self.loggers[name], f"m{next(self.markers)}"
        before = self.do(number, lambda: logger.run_id)
        self.do(number, call, logger, marker)
        after = self.do(number, lambda: logger.run_id)
        if before is None:
            assert after not in self.owners
        self.expected[marker] = before or after

    @rule(number=actors, name=names)
    def log_line(self, number, name):
        self.say(number, name, lambda logger, marker: logger.info(marker))

    @rule(number=actors, name=names)
    def log_action(self, number, name):
        self.say(number, name, lambda logger, marker: logger.agent("speaker").log_action(marker))

    @rule(number=actors, by=st.sampled_from(sorted(NAMELESS)))
    def log_without_a_logger(self, number, by):
        self.say(number, "default", NAMELESS[by])

    @rule(number=actors)
    def end_iteration_of_the_workflow_logger(self, number):
        self.do(number, tailrace.get_workflow_logger().end_iteration, "success")

    @rule(number=actors, name=names)
    def start_iteration(self, number, name):
        self.say(number, name, lambda logger, marker: logger.start_iteration(marker))

    @rule(number=actors, name=names)
    def start_interaction(self, number, name):
        self.say(number, name, lambda logger, marker: logger.start_interaction(marker))

    @rule(number=actors, name=names)
    def end_interaction(self, number, name):
        self.do(number, self.loggers[name].end_interaction, "output")

    @rule(number=actors, name=names)
    def end_iteration(self, number, name):
        self.do(number, self.loggers[name].end_iteration)

    @rule(number=actors, name=names)
    def finalize(self, number, name):
        self.do(number, self.loggers[name].finalize)

    @rule(number=actors, name=names, kind=st.sampled_from(["run", "iteration", "interaction", "action"]))
    def enter(self, number, name, kind):
        blocks = self.actors[number].blocks
        outer = next((block for block, _ in reversed(blocks) if hasattr(block, kind)), self.loggers[name])
        if not hasattr(outer, kind):
            return
        arguments = [f"b{next(self.markers)}"] if kind in {"interaction", "action"} else []
        self.enter_block(number, getattr(outer, kind)(*arguments))
        if kind == "run":
            assert self.do(number, lambda: self.loggers["default"].run_id) == blocks[-1][0].run_id

    def enter_block(self, number, block):
        before = self.runs_of(number)
        self.do(number, block.__enter__)
        self.actors[number].blocks.append((block, before))

    def runs_of(self, number):
        return {name: self.do(number, lambda logger=logger: logger.run_id) for name, logger in self.loggers.items()}

    @rule(number=actors, error=st.sampled_from([None, ValueError("x"), KeyboardInterrupt()]))
    def leave(self, number, error):
        if self.actors[number].blocks:
            block, before = self.actors[number].blocks.pop()
            self.do(number, block.__exit__, error and type(error), error, None)
            after = self.runs_of(number)
            assert all(after[name] == run for name, run in before.items() if self.is_open(run))

    def is_open(self, run):
        return run is not None and not any(
            event.type == "run.end" for event in self.captured.events if event.run == run
        )

    @rule(number=actors, fails=st.booleans())
    def call_decorated(self, number, fails):
        marker = f"m{next(self.markers)}"

        @tailrace.agent(marker)
        def turn():
            assert list(stream()) == [1, 2]
            if fails:
                raise LookupError(marker)

        @tailrace.action
        def stream():
            yield 1
            self.loggers["default"].info(marker)
            yield 2

        before = self.runs_of(number)
        with pytest.raises(LookupError, match=marker) if fails else nullcontext():
            self.do(number, turn)
        assert self.runs_of(number) == before

    @rule(number=actors, to=actors)
    def hand_over(self, number, to):
        carrier = self.do(number, tailrace.inject)
        inbound = self.do(to, tailrace.extract, carrier)
        if inbound.run_id is not None:
            self.owners[inbound.run_id].add(to)
        self.enter_block(to, inbound)

    @invariant()
    def nobody_records_into_the_run_of_another(self):
        for event in self.captured.events[self.seen :]:
            assert self.by in self.owners.setdefault(event.run, {self.by})
            self.seen += 1

    def teardown(self):
        try:
            for number, actor in enumerate(self.actors):
                while actor.blocks:
                    self.leave(number, None)
                actor.close()
            self.check()
        finally:
            self.override.remove()
            self.capturing.__exit__(None, None, None)

    def check(self):
        stats = self.loggers["default"].stats()
        events = self.captured.events
        assert (stats.dropped, stats.capture_failed, stats.inbound_rejected) == ({}, 0, {})
        assert stats.accepted == len(events)
        documents = collect(events)
        for document in documents.values():
            assert render(restore(render(document))) == render(document)
        runs = {document["run_id"]: document for document in self.captured.documents}
        for run, document in runs.items():
            integrity = document["integrity"]
            assert integrity["gaps"] == {}
            assert integrity["received"] == integrity["expected"] == document["counts"]["events"]
            assert {event["type"].rpartition(".")[2] for event in document["other_events"]} <= {"end"}
            started = {event.interaction for event in events if event.run == run and event.type == "interaction.start"}
            assert {event.interaction for event in events if event.run == run} - {""} == started
        text = {run: str(document) for run, document in runs.items()}
        for marker, run in self.expected.items():
            assert [found for found, shown in text.items() if f"'{marker}'" in shown] == [run]


AnyOrder.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


@pytest.mark.usefixtures("log")
class TestAnyOrder(AnyOrder.TestCase):
    pass
