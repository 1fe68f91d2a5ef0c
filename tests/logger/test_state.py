"""configure_logger before, after and again; hints."""

import pytest

import tailrace
from tailrace.logger import state
from tests.logger.conftest import documents


@pytest.fixture(autouse=True)
def fresh():
    state.reset()
    yield
    state.reset()


def test_a_second_call_changes_what_it_is_given_leaves_the_rest_and_says_so(capsys):
    tailrace.configure_logger("bot", verbosity="ERROR", publish="external", spool={"max_bytes": 1 << 20})
    tailrace.configure_logger(verbosity="DEBUG", bus="kafka://user:secret@h:1", spool={"segment_bytes": 8192})
    config = state.recorder().config
    assert (config.workflow_name, config.verbosity, config.publish) == ("bot", "DEBUG", "external")
    assert (config.spool.max_bytes, config.spool.segment_bytes) == (1 << 20, 8192)
    assert capsys.readouterr().err == (
        "tailrace: configure_logger was called again and changed "
        "verbosity from ERROR to DEBUG, bus, spool.segment_bytes from 8388608 to 8192\n"
    )


def test_a_second_call_that_changes_nothing_says_nothing_and_keeps_the_recorder(capsys):
    tailrace.configure_logger("bot", publish="external")
    before = state.recorder()
    tailrace.configure_logger("bot")
    tailrace.configure_logger()
    assert state.recorder() is before
    assert capsys.readouterr().err == ""


def test_a_call_that_is_wrong_changes_nothing():
    tailrace.configure_logger("bot", publish="external")
    before = state.recorder()
    with pytest.raises(tailrace.TailraceError, match="verbosity"):
        tailrace.configure_logger(verbosity="LOUD")
    assert state.recorder() is before
    tailrace.configure_logger("other")
    assert state.recorder().config.verbosity == "INFO"


def test_configuring_after_get_logger_serves_the_loggers_that_were_handed_out(capsys):
    log = tailrace.get_logger()
    tailrace.configure_logger("bot", publish="external")
    assert log.workflow_name == "bot"
    log.info("x")
    log.finalize()
    assert capsys.readouterr().err == ""
    assert [document["workflow_name"] for document in documents()] == ["bot"]


def test_a_run_under_way_goes_on_through_a_new_configuration(capsys):
    log = tailrace.configure_logger("bot", publish="external")
    log.start_iteration(1)
    tailrace.configure_logger(verbosity="DEBUG")
    log.debug("now seen")
    log.end_iteration()
    log.finalize()
    (document,) = documents()
    assert document["iterations"][0]["status"] == "success"
    assert document["logs"][0]["message"] == "now seen"
    assert document["integrity"]["complete"]


MISUSES = {
    "log_action was called with no interaction": lambda log: log.log_action("x"),
    "end_interaction was called with none": lambda log: log.end_interaction("kept"),
    "end_iteration was called with none": lambda log: log.end_iteration(),
    "start_iteration was called with one open": lambda log: (log.start_iteration(1), log.start_iteration(2)),
    "start_interaction was called with one open": lambda log: (log.start_interaction("a"), log.start_interaction("b")),
    "finalize was called with no run": lambda log: (log.info("x"), log.finalize(), log.finalize()),
}


@pytest.mark.parametrize("hint", MISUSES)
def test_a_forgiven_use_is_hinted_at_once(hint, capsys, monkeypatch):
    monkeypatch.setattr("tailrace.logger.notices._WARN_SECONDS", 0.0)
    log = tailrace.configure_logger("bot", publish="external")
    for _ in range(3):
        MISUSES[hint](log)
        log.info("between")
        log.finalize()
    err = capsys.readouterr().err
    assert err.startswith(f"tailrace: hint: {hint}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("hint", MISUSES)
def test_a_verbosity_above_warning_keeps_hints_away(hint, capsys):
    log = tailrace.configure_logger("bot", publish="external", verbosity="ERROR")
    MISUSES[hint](log)
    assert capsys.readouterr().err == ""


def test_the_scoped_api_and_the_flat_one_used_in_order_get_no_hint(capsys):
    log = tailrace.configure_logger("bot", publish="external")
    with log.run() as run:
        run.log_action("x")
        with run.action("y"):
            log.log_action("z")
        with run.interaction("a"):
            log.log_action("x")
    log.start_iteration(1)
    log.start_interaction("a")
    log.log_action("x")
    log.end_interaction()
    log.end_iteration()
    log.finalize()
    assert capsys.readouterr().err == ""


def test_turns_that_plain_calls_nest_in_a_block_get_no_hint_but_two_in_a_row_do(capsys):
    log = tailrace.configure_logger("bot", publish="external")
    with log.run() as run:
        with run.iteration() as iteration, iteration.interaction("planner"):
            log.start_interaction("searcher")
            log.end_interaction()
            log.start_iteration("inside")
            log.end_iteration()
        with run.iteration():
            log.start_iteration("beside")
            log.end_iteration()
        assert capsys.readouterr().err == ""
        log.start_interaction("searcher")
        log.start_interaction("reader")
    assert capsys.readouterr().err == (
        "tailrace: hint: start_interaction was called with one open, which stays without an end\n"
    )


def test_the_hint_at_an_action_outside_a_turn_names_where_it_went_and_there_is_none_in_a_block(capsys):
    log = tailrace.configure_logger("bot", publish="external")
    with log.run() as run:
        log.log_action("x")
        log.agent("critic").log_action("x")
        with run.iteration():
            log.log_action("x")
            headers = tailrace.inject()
        with tailrace.extract(headers):
            log.log_action("x")
    assert capsys.readouterr().err == ""
    log.start_iteration(1)
    log.log_action("x")
    assert "the action belongs to the iteration," in capsys.readouterr().err
