"""How to test an agent: what it logged is what it did.

    pytest examples/test_agent.py

The fixtures `tailrace_events` and `tailrace_clock` come with tailrace; nothing is written, no server is needed.
"""

import pytest

import tailrace


class Crm:
    """A tool of the agent's; this one needs two attempts."""

    def __init__(self, clock):
        self.clock = clock
        self.calls = 0

    @tailrace.action("lookup_order", redact=["token"])
    def lookup(self, order, token):
        assert token
        self.clock.advance(0.25)
        self.calls += 1
        if self.calls == 1:
            raise TimeoutError("the CRM did not answer")
        return {"order": order, "status": "shipped"}


@tailrace.agent("writer")
def write(facts):
    yield f"Order {facts['order']} "
    yield f"was {facts['status']}."


@tailrace.workflow("support-bot")
def answer(question, crm):
    order = int(question.split()[-1].rstrip("?"))
    for _ in range(3):
        try:
            return "".join(write(crm.lookup(order, token="t-17")))
        except TimeoutError:
            continue
    return "I could not find out."


@pytest.fixture
def document(tailrace_events, tailrace_clock):
    """The run, as `tailrace show -o json` would print it."""
    assert answer("Where is order 17?", Crm(tailrace_clock)) == "Order 17 was shipped."
    return tailrace_events.document


def test_the_run_ends_well_and_says_what_it_answered(document):
    assert document["final_status"] == "completed"
    assert document["outcome"]["output_data"] == "Order 17 was shipped."


def test_a_tool_that_times_out_is_asked_again(document):
    first, second = document["actions"]
    assert (first["status"], first["error"]["type"]) == ("failed", "TimeoutError")
    assert (second["status"], second["fields"]["attempt"]) == ("success", 2)
    assert second["output_data"]["status"] == "shipped"


def test_the_token_is_not_recorded(document):
    assert [action["input_data"] for action in document["actions"]] == [{"order": 17, "token": "[redacted]"}] * 2


def test_the_answer_is_streamed_by_the_writer(document):
    (turn,) = document["interactions"]
    assert (turn["agent_name"], turn["output_data"]) == ("writer", "Order 17 was shipped.")
    assert turn["outcome"] == {"items": 2}


def test_each_attempt_took_a_quarter_of_a_second(document):
    assert [action["duration_ms"] for action in document["actions"]] == [250, 250]
