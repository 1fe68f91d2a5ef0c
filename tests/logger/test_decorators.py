"""`@workflow`, `@agent`, `@action`: what each kind of function records, and that it stays what it was."""

import asyncio
import functools
import inspect
import threading

import pytest

import tailrace
from tailrace.logger.context import current
from tests.logger.conftest import documents


def only_action(document=None):
    (action,) = (document or documents()[0])["actions"]
    return action


def test_a_workflow_an_agent_and_actions_give_one_document(log):
    @tailrace.action
    def search(query, limit=10):
        return [query] * 2

    @tailrace.agent("planner")
    def plan(question):
        return search(question, limit=3)

    @tailrace.workflow("support", tags=["beta"])
    def answer(question):
        return len(plan(question))

    assert answer("q") == 2
    (document,) = documents()
    assert (document["workflow_name"], document["final_status"], document["tags"]) == ("support", "completed", ["beta"])
    assert document["fields"] == {"input_data": {"question": "q"}}
    assert document["outcome"] == {"output_data": 2}
    (turn,) = document["interactions"]
    assert (turn["agent_name"], turn["input_data"], turn["output_data"]) == ("planner", {"question": "q"}, ["q", "q"])
    (action,) = turn["actions"]
    assert (action["action_name"], action["input_data"]) == ("search", {"query": "q", "limit": 3})
    assert (action["output_data"], action["status"]) == (["q", "q"], "success")
    assert action["duration_ms"] >= 0
    assert document["integrity"]["complete"]


def test_without_a_run_a_call_is_a_run_of_its_own_that_ends_with_it(log):
    @tailrace.agent
    def plan():
        log.info("inside")

    plan()
    plan()
    assert log.run_id is None
    for document in documents():
        assert (document["workflow_name"], document["state"], document["agents"]) == (
            "support-bot",
            "complete",
            ["plan"],
        )
        assert document["logs"][0]["interaction"] == document["interactions"][0]["id"]


def test_arguments_are_recorded_by_name_however_they_are_passed(log):
    @tailrace.action
    def call(first, /, second, *rest, third=3, **others):
        return None

    call(1, 2, 4, 5, third=6, fourth=7)
    assert only_action()["input_data"] == {"first": 1, "second": 2, "rest": [4, 5], "third": 6, "fourth": 7}


def test_what_is_captured_and_what_is_masked_can_be_chosen(log):
    @tailrace.action(capture=("a", "return"))
    def some(a, b):
        return a + b

    @tailrace.action(capture=False)
    def none(a):
        return a

    @tailrace.action(redact=["a", "return"])
    def masked(a, b):
        return a + b

    @tailrace.action(capture=["a"])
    def inputs(a):
        return a

    with log.run():
        assert (some(1, 2), none(1), masked(1, 2), inputs(1)) == (3, 1, 3, 1)
    some, none, masked, inputs = documents()[0]["actions"]
    assert (some["input_data"], some["output_data"]) == ({"a": 1}, 3)
    assert not {"input_data", "output_data"} & none.keys()
    assert (masked["input_data"], masked["output_data"]) == ({"a": "[redacted]", "b": 2}, "[redacted]")
    assert (inputs["input_data"], "output_data" in inputs) == ({"a": 1}, False)


@pytest.mark.parametrize("option", ["capture", "redact"])
def test_a_name_that_is_no_parameter_is_an_error_when_decorating(option):
    with pytest.raises(ValueError, match=rf"{option}='pasword' is no parameter of .*login; it may be: password, user"):

        @tailrace.action(**{option: ["pasword"]})
        def login(user, password): ...


@pytest.mark.parametrize("thing", [7, int, object()])
def test_what_is_no_function_cannot_be_decorated(thing):
    with pytest.raises(TypeError, match="is not a function"):
        tailrace.action("name")(thing)


class Tools:
    base = 2

    @tailrace.action
    def method(self, a):
        return self.base + a

    @tailrace.action("above")
    @classmethod
    def above(cls, a):
        return cls.base + a

    @classmethod
    @tailrace.action
    def below(cls, a):
        return cls.base + a

    @tailrace.action
    @staticmethod
    def static(a):
        return a

    @property
    @tailrace.action
    def size(self):
        return self.base

    @tailrace.action
    async def asynchronous(self, a):
        return self.base + a


class Echo:
    async def __call__(self, a):
        await asyncio.sleep(0)
        return a


def test_methods_of_each_kind_are_recorded_without_what_they_are_bound_to(log):
    tools = Tools()
    with log.run():
        assert [tools.method(1), Tools.above(1), tools.below(1), Tools.static(1), tools.size] == [3, 3, 3, 1, 2]
        assert asyncio.run(tools.asynchronous(1)) == 3
        assert asyncio.run(tailrace.action(Echo())(5)) == 5
    actions = documents()[0]["actions"]
    names = ["method", "above", "below", "static", "size", "asynchronous", "Echo"]
    assert [action["action_name"] for action in actions] == names
    assert [action.get("input_data") for action in actions] == [*[{"a": 1}] * 4, None, {"a": 1}, {"a": 5}]
    assert [action["output_data"] for action in actions] == [3, 3, 3, 1, 2, 3, 5]


def test_the_function_keeps_its_name_signature_and_kind():
    def plain(a: int, *, b: str = "x") -> float:
        """What it does."""

    async def coroutine(): ...
    def generator():
        yield

    async def stream():
        yield

    made = tailrace.action("other")(plain)
    assert (made.__name__, made.__doc__, inspect.signature(made)) == (
        "plain",
        "What it does.",
        inspect.signature(plain),
    )
    assert inspect.iscoroutinefunction(tailrace.agent(coroutine))
    assert inspect.isgeneratorfunction(tailrace.workflow(generator))
    assert inspect.isasyncgenfunction(tailrace.action(stream))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), StopIteration(4)])
def test_the_exception_that_leaves_is_the_functions_own(log, error):
    @tailrace.action
    def fail():
        raise error

    with pytest.raises(type(error)) as caught, log.run():
        fail()
    assert caught.value is error
    assert error.__cause__ is None
    status = "cancelled" if isinstance(error, KeyboardInterrupt) else "failed"
    assert only_action()["status"] == status


def test_an_exception_is_recorded_with_its_traceback(log):
    @tailrace.action
    def divide(a):
        return a / 0

    with pytest.raises(ZeroDivisionError), log.run():
        divide(1)
    (document,) = documents()
    (error,) = document["errors"]
    assert "return a / 0" in error["exception"]["traceback"]
    assert only_action(document)["error"]["type"] == "ZeroDivisionError"


def test_an_attempt_after_a_failure_with_the_same_arguments_is_numbered(log):
    failures = iter([True, True, False, False])

    @tailrace.action
    def fetch(url):
        if next(failures):
            raise TimeoutError(url)

    def tried(url):
        try:
            fetch(url)
        except TimeoutError:
            return

    with log.run() as run, run.interaction("a"):
        for url in ("x", "x", "x", "x"):
            tried(url)
    attempts = [action.get("fields") for action in documents()[0]["interactions"][0]["actions"]]
    assert attempts == [None, {"attempt": 2}, {"attempt": 3}, None]


def test_a_call_with_other_arguments_or_in_another_turn_is_no_further_attempt(log):
    @tailrace.action
    def fetch(url):
        raise TimeoutError(url)

    with log.run() as run:
        for agent, url in (("a", "x"), ("a", "y"), ("b", "y")):
            with run.interaction(agent), pytest.raises(TimeoutError):
                fetch(url)
    assert all("fields" not in action for turn in documents()[0]["interactions"] for action in turn["actions"])


def test_nested_agents_name_their_parent(log):
    @tailrace.agent
    def writer():
        log.log_action("write")

    @tailrace.action
    def delegate():
        writer()

    @tailrace.agent
    def planner():
        delegate()
        writer()

    with log.run():
        planner()
    outer, by_action, direct = documents()[0]["interactions"]
    assert "parent" not in outer
    assert by_action["parent"] == outer["actions"][0]["id"]
    assert direct["parent"] == outer["id"]


def test_an_action_inside_an_action_names_it(log):
    @tailrace.action
    def inner(): ...

    @tailrace.action
    def outer():
        inner()

    with log.run() as run, run.interaction("a"):
        outer()
    outside, inside = documents()[0]["interactions"][0]["actions"]
    assert (inside["parent"], "parent" in outside) == (outside["id"], False)


def test_a_run_inside_a_run_names_the_place_it_began_in(log):
    @tailrace.workflow("inner")
    def inner(): ...

    with log.run() as run, run.interaction("a"):
        inner()
    inside, outside = sorted(documents(), key=lambda document: document["workflow_name"])
    assert inside["parent"] == f"00-{run.run_id}-{outside['interactions'][0]['id']}-01"
    assert "parent" not in outside


def test_concurrent_coroutines_stay_apart(log):
    @tailrace.action
    async def step(number, place):
        await asyncio.sleep(0)
        return [number, place]

    @tailrace.agent("worker")
    async def work(number):
        return await asyncio.gather(*(step(number, place) for place in range(3)))

    async def main():
        async with log.run():
            await asyncio.gather(*(work(number) for number in range(50)))

    asyncio.run(main())
    turns = documents()[0]["interactions"]
    assert sorted(turn["input_data"]["number"] for turn in turns) == list(range(50))
    for turn in turns:
        number = turn["input_data"]["number"]
        assert sorted(action["output_data"] for action in turn["actions"]) == [[number, place] for place in range(3)]


def test_a_cancelled_coroutine_is_recorded_as_cancelled(log):
    @tailrace.action
    async def wait():
        await asyncio.sleep(60)

    async def main():
        async with log.run():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 0)
            task = asyncio.ensure_future(wait())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert only_action()["status"] == "cancelled"
    assert documents()[0]["final_status"] == "completed"


def test_wrong_settings_are_counted_and_told_once_and_the_function_runs(monkeypatch, capsys):
    from tailrace.logger import counters, state

    state.reset()
    monkeypatch.setenv("TAILRACE_VERBOSITY", "LOUD")

    @tailrace.action
    def add(a, b):
        return a + b

    assert [add(1, 2), add(3, 4)] == [3, 7]
    assert counters.counted(counters.CAPTURE) == {"ConfigError": 2}
    assert capsys.readouterr().err.count("verbosity") == 1
    monkeypatch.delenv("TAILRACE_VERBOSITY")
    assert tailrace.configure_logger(publish="external").stats().capture_failed == 2
    state.reset()


def test_hostile_arguments_and_results_leave_the_call_as_it_was(log):
    class Hostile:
        def __repr__(self):
            raise RuntimeError("repr")

        __eq__ = __hash__ = __bool__ = __str__ = __repr__

    thing = Hostile()

    @tailrace.action
    def give(value):
        return value

    with log.run():
        assert give(thing) is thing
    assert only_action()["input_data"]["value"]["$unencodable"].endswith("Hostile")
    assert log.stats().capture_failed == 0


def test_a_partial_takes_the_name_of_its_function(log):
    def add(a, b):
        return a + b

    assert tailrace.action(functools.partial(add, 1))(2) == 3
    assert only_action()["action_name"] == "add"


def test_threads_of_decorated_calls_have_runs_of_their_own(log):
    @tailrace.workflow("threads")
    def work(number):
        log.info(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(documents()) == 16
    for document in documents():
        assert [line["message"] for line in document["logs"]] == [document["fields"]["input_data"]["number"]]
    assert current.get() is None
