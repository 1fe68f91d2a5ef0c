"""Agents with loggers of their own, handed to them or made by themselves."""

import threading

import tailrace
from tests.logger.conftest import documents
from tests.system.scripts import run


def test_an_agent_logger_made_alone_speaks_in_the_current_run(log):
    hidden = tailrace.AgentLogger("planner")
    with log.run() as current:
        hidden.info("inside", step=1)
        hidden.log_action("search", 1, 2)
    (document,) = documents()
    assert document["run_id"] == current.run_id
    assert (document["logs"][0]["agent"], document["actions"][0]["agent"]) == ("planner", "planner")


def test_a_run_begun_by_agents_alone_ends_with_the_process_unless_it_has_ended():
    code, _, err = run(
        "import tailrace\n"
        "tailrace.configure_logger('w', publish='external')\n"
        "tailrace.AgentLogger('a').info('one')\n"
        "tailrace.AgentLogger('b').info('two')\n"
        "tailrace.get_logger().finalize('early')\n"
        "tailrace.AgentLogger('a').info('three')\n"
        "tailrace.get_logger().agent('b').info('four')\n"
    )
    assert (code, err) == (0, "")
    found = [(document["final_status"], document["agents"], document["counts"]["logs"]) for document in documents()]
    assert found == [("early", ["a", "b"], 2), ("completed", ["a", "b"], 2)]


def test_the_aggregator_is_one_and_takes_lines_of_any_agent_from_any_thread(log):
    aggregator = tailrace.CentralAggregator.instance()
    assert tailrace.CentralAggregator.instance() is aggregator
    with log.run() as current:
        aggregator.add_log("agent_a", {"level": "error", "message": "late", "days": 3})
        aggregator.add_log("agent_b", {})
    thread = threading.Thread(target=aggregator.add_log, args=("agent_c", {"message": "elsewhere", 1: 2}))
    thread.start()
    thread.join()
    first, second = documents()
    assert first["run_id"] == current.run_id
    assert [(line["agent"], line["level"], line["message"], line.get("fields")) for line in first["logs"]] == [
        ("agent_a", "ERROR", "late", {"days": 3}),
        ("agent_b", "INFO", None, None),
    ]
    assert (second["logs"][0]["message"], second["logs"][0]["fields"]) == ("elsewhere", {"1": 2})
    assert aggregator.flush(timeout=0.01) is False, "nothing ships this spool"


def test_flush_says_when_the_bus_has_every_line():
    code, out, err = run(
        "import tailrace\n"
        "tailrace.AgentLogger('a').info('one')\n"
        "print(tailrace.CentralAggregator.instance().flush(), tailrace.get_logger().stats().acked)\n"
    )
    assert (code, out, err) == (0, "True 2\n", "")


def test_a_turn_inside_anothers_names_it_as_its_parent(log):
    with log.run() as run_, run_.iteration() as iteration, iteration.interaction("planner"):
        with iteration.interaction("searcher"):
            log.start_interaction("reader")
            log.end_interaction()
        with tailrace.get_logger("billing").run() as other, other.interaction("biller"):
            pass
    planner, searcher, reader = documents()[0]["iterations"][0]["interactions"]
    assert "parent" not in planner
    assert (searcher["parent"], reader["parent"]) == (planner["id"], searcher["id"])
    assert "parent" not in documents()[1]["interactions"][0]


def test_turns_one_after_the_other_have_no_parent(log):
    with log.run() as current:
        with current.interaction("first"):
            pass
        with current.interaction("second"):
            pass
    assert not [turn for turn in documents()[0]["interactions"] if "parent" in turn]


def test_what_an_agents_logger_begins_and_ends_is_not_its_own(log):
    critic = log.agent("critic")
    critic.start_iteration(1)
    critic.start_interaction("planner", "q")
    critic.end_interaction("a")
    log.info("after the turn")
    critic.end_iteration()
    log.info("after the iteration")
    (document,) = documents()
    assert [line.get("agent") for line in document["logs"]] == [None, None]
    assert document["agents"] == ["planner"]


def test_an_agents_logger_begins_a_turn_inside_a_block_as_its_child(log):
    with log.run() as current, current.interaction("planner"):
        log.agent("critic").start_interaction("searcher")
        log.end_interaction()
        log.info("still the planner")
    (document,) = documents()
    planner, searcher = document["interactions"]
    assert searcher["parent"] == planner["id"]
    (line,) = document["logs"]
    assert (line["agent"], line["interaction"]) == ("planner", planner["id"])


def test_all_that_have_no_workflow_of_their_own_record_into_the_run_they_are_used_in(log):
    headers = None
    with tailrace.get_logger("billing").run() as current:
        tailrace.AgentLogger("hidden").info("hidden")
        tailrace.CentralAggregator.instance().add_log("central", {"message": "central"})
        tailrace.get_workflow_logger().log_action("default", "act", {})
        with log.run():
            log.info("the run of its own name")
        headers = tailrace.inject()
    with tailrace.extract(headers):
        tailrace.get_workflow_logger().log_action("default", "from elsewhere", {})
    billing, support = documents()
    assert billing["run_id"] == current.run_id
    assert [line["message"] for line in billing["logs"]] == ["hidden", "central"]
    assert [action["action_name"] for action in billing["actions"]] == ["act", "from elsewhere"]
    assert support["workflow_name"] == "support-bot"
    assert support["parent"].split("-")[1] == current.run_id
