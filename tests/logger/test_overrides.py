"""Overrides: what they do to the events they match, and that they cannot hurt a logging call."""

import contextlib
import os
import sqlite3
import sys
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tailrace
from tailrace import overrides
from tailrace.logger import state
from tests.logger.conftest import documents, spooled
from tests.system.scripts import run


def types_and_data(home=".tailrace"):
    return [(event.type, msgspec.json.decode(event.data)) for event in spooled(home)]


def test_an_override_changes_what_it_matches_and_nothing_else(log):
    @tailrace.override(agent="planner", action="search")
    def changed(event, write):
        event.data["input_data"] = "changed"
        event.data["tenant"] = "acme"
        write(event)

    log.start_interaction("planner", input_data="kept")
    log.log_action("search", input_data=1)
    log.log_action("chat", input_data=2)
    log.end_interaction()
    log.start_interaction("critic")
    log.log_action("search", input_data=3)
    log.finalize()
    (document,) = documents()
    planner, critic = document["interactions"]
    assert planner["input_data"] == "kept"
    assert [each["input_data"] for each in planner["actions"]] == ["changed", 2]
    assert planner["actions"][0]["fields"] == {"tenant": "acme"}
    assert critic["actions"][0]["input_data"] == 3
    assert "fields" not in critic["actions"][0]


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        ({}, ["run.start", "interaction.start", "action.start", "log", "action.end", "interaction.end", "run.end"]),
        ({"agent": "pl*r"}, ["interaction.start", "action.start", "log", "action.end", "interaction.end"]),
        ({"action": "sea[r]ch"}, ["action.start", "log", "action.end"]),
        ({"workflow": "support-?ot", "action": "search"}, ["action.start", "log", "action.end"]),
        ({"workflow": "billing"}, []),
        ({"agent": "planner", "action": "chat"}, []),
        ({"agent": ""}, ["run.start", "run.end"]),
    ],
)
def test_names_and_patterns_decide_which_events_an_override_sees(log, names, seen):
    found = []
    tailrace.override(lambda event, write: (found.append(event.type), write(event)), **names)
    with log.run() as run, run.interaction("planner") as turn, turn.action("search"):
        log.info("inside")
    assert found == seen


def test_a_dropped_event_is_counted_by_override_and_leaves_the_document_whole(log):
    @tailrace.override(action="heartbeat")
    def no_heartbeats(event, write):
        pass

    for _ in range(3):
        log.log_action("heartbeat")
    log.log_action("search")
    log.finalize()
    reason = f"override:{no_heartbeats.__wrapped__.__qualname__}"
    stats = log.stats()
    assert stats.dropped == {reason: 3}
    assert stats.calls == stats.accepted + 3
    (document,) = documents()
    assert [each["action_name"] for each in document["actions"]] == ["search"]
    assert document["integrity"]["dropped"] == {reason: 3}
    assert document["integrity"]["complete"]
    assert document["integrity"]["gaps"] == {}


def test_redacted_keys_hold_nothing_of_what_was_passed(log):
    tailrace.override(overrides.redact("input_data", "fields"), agent="hr-*")
    log.start_interaction("hr-1", input_data="private", note="private")
    log.end_interaction(output_data="public")
    log.finalize()
    assert b"private" not in b"".join(bytes(event.data) for event in spooled())
    (turn,) = documents()[0]["interactions"]
    assert (turn["input_data"], turn["output_data"]) == ("[redacted]", "public")


def test_what_an_override_adds_is_searched_for_secrets_like_everything_else(log):
    tailrace.override(lambda event, write: (event.data.update(input_data={"password": "hunter2"}), write(event)))
    log.log_action("login")
    log.finalize()
    assert b"hunter2" not in b"".join(bytes(event.data) for event in spooled())


@pytest.mark.anyio
async def test_a_routed_event_is_on_the_other_topic_and_joins_the_same_document(prefix):
    from tailrace.config import load
    from tailrace.registry import open_bus
    from tests.system.scripts import stored_documents

    log = tailrace.configure_logger("support-bot", prefix=prefix)
    tailrace.override(overrides.route(f"{prefix}.events.audit"), action="pay")
    log.log_action("pay", input_data=1)
    log.log_action("search", input_data=2)
    log.finalize()
    assert log.close(10)
    state.reset()
    bus = open_bus(load({"prefix": prefix}))
    assert {info.name for info in await bus.topics(prefix)} == {
        f"{prefix}.events.audit",
        f"{prefix}.events.support-bot",
    }
    await bus.aclose()
    (document,) = await stored_documents(prefix=prefix)
    assert [each["action_name"] for each in document["actions"]] == ["pay", "search"]
    assert document["integrity"]["complete"]


@pytest.mark.parametrize("name", ["", "a b", "..", "x" * 250, "a/b"])
def test_what_cannot_be_a_topic_is_refused_where_it_is_given(log, name):
    with pytest.raises(ValueError, match="topic"):
        overrides.route(name)
    tailrace.override(lambda event, write: (setattr(event, "topic", name), write(event)), action="x")
    log.log_action("x")
    log.finalize()
    assert log.stats().overrides_failed == 1
    assert documents()[0]["actions"][0]["action_name"] == "x"


def test_a_tee_to_a_file_holds_each_event_as_it_was_accepted(log, tmp_path):
    with tailrace.override(overrides.tee(tmp_path / "tee" / "planner.jsonl"), agent="planner"):
        log.start_interaction("planner", input_data={"api_key": "sk-proj-abcdefghijklmnopqrstuvwx"})
        log.end_interaction(output_data=1)
    log.info("afterwards")
    log.finalize()
    copies = [msgspec.json.decode(line) for line in (tmp_path / "tee" / "planner.jsonl").read_bytes().splitlines()]
    originals = [event for event in spooled() if event.agent == "planner"]
    assert [copy["id"] for copy in copies] == [event.id for event in originals]
    assert [copy["data"] for copy in copies] == [msgspec.json.decode(event.data) for event in originals]
    assert "sk-proj" not in (tmp_path / "tee" / "planner.jsonl").read_text()


def test_a_tee_that_cannot_write_costs_neither_the_event_nor_an_exception(log, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    tailrace.override(overrides.tee(tmp_path / "taken" / "x.jsonl"))
    log.info("a line")
    log.finalize()
    assert log.stats().overrides_failed == 3
    assert capsys.readouterr().err.count("TeeToFile") == 1
    (document,) = documents()
    assert document["counts"]["events"] == 3


@pytest.mark.anyio
async def test_a_tee_to_another_bus_brings_the_same_events_there(tmp_path):
    from tests.system.scripts import stored_documents

    other = f"sqlite:///{tmp_path / 'other.db'}"
    log = tailrace.configure_logger("support-bot")
    tailrace.override(overrides.tee(other))
    log.log_action("search", input_data=1)
    log.finalize()
    assert state.relay(other).close(10)
    assert log.close(10)
    state.reset()
    (ours,) = await stored_documents()
    (theirs,) = await stored_documents(bus=other, store=f"sqlite:///{tmp_path / 'their_store.db'}", home="elsewhere")
    assert ours == theirs


def test_a_tee_to_another_bus_ends_with_the_process():
    code, _, err = run(
        "import tailrace\n"
        "tailrace.override(tailrace.overrides.tee('sqlite:///other.db'))\n"
        "log = tailrace.get_logger('w')\n"
        "log.info('a')\n"
        "import os\n"
        "if os.fork() == 0: log.info('b'); raise SystemExit\n"
        "os.wait()\n"
        "log.finalize()\n"
    )
    assert (code, "tailrace: " in err) == (0, False)  # Python itself may warn of the fork

    def events(path):
        with contextlib.closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT sum(count) FROM chunks").fetchone()

    assert events("other.db") == events(".tailrace/tailrace.db") == (4,)


def test_levels_are_raised_and_lowered_for_what_they_match(log):
    tailrace.override(overrides.level("ERROR"), agent="noisy")
    tailrace.override(overrides.level("DEBUG"), agent="critic")
    for name in ("noisy", "critic", "planner"):
        agent = log.agent(name)
        agent.debug("debug")
        agent.info("info")
        agent.error("error")
    log.finalize()
    assert [(line["agent"], line["message"]) for line in documents()[0]["logs"]] == [
        ("noisy", "error"),
        *(("critic", message) for message in ("debug", "info", "error")),
        *(("planner", message) for message in ("info", "error")),
    ]
    assert log.stats().dropped == {}


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="one of DEBUG, INFO"):
        overrides.level("LOUD")


def test_an_override_that_raises_is_skipped_for_that_event_counted_and_named_once(log, capsys, monkeypatch):
    monkeypatch.setattr("tailrace.logger.notices._WARN_SECONDS", 0.0)

    @tailrace.override()
    def broken(event, write):
        event.data["message"] = "half changed"
        raise LookupError("no such tenant")

    for number in range(3):
        log.info("line", number=number)
    log.finalize()
    (document,) = documents()
    assert [(line["message"], line["fields"]) for line in document["logs"]] == [
        ("line", {"number": n}) for n in range(3)
    ]
    stats = log.stats()
    assert (stats.overrides_failed, stats.dropped) == (5, {})
    err = capsys.readouterr().err
    assert err.count("tailrace: ") == 1
    assert "broken" in err
    assert "no such tenant" in err


def test_an_override_that_raises_after_writing_does_not_write_twice(log):
    @tailrace.override(action="x")
    def late(event, write):
        write(event)
        raise RuntimeError

    log.log_action("x")
    log.finalize()
    assert documents()[0]["counts"]["actions"] == 1


@pytest.mark.parametrize("damage", [None, 7, {"action_name": "y", "input_data": object()}, {}])
def test_whatever_an_override_makes_of_the_payload_an_event_arrives(log, damage, capsys):
    @tailrace.override(action="x")
    def damaging(event, write):
        event.data = damage
        write(event)

    log.log_action("x", input_data=1)
    log.finalize()
    (document,) = documents()
    assert document["counts"]["actions"] == 1
    assert document["integrity"]["complete"]


def test_write_works_only_while_the_override_runs_and_only_on_its_event(log):
    escaped = []

    @tailrace.override(action="x")
    def escaping(event, write):
        escaped.append((event, write))
        with pytest.raises(TypeError, match="the event that the override was given"):
            write({"action_name": "mine"})
        write(event)

    log.log_action("x")
    event, write = escaped[0]
    with pytest.raises(RuntimeError, match="until it returns"):
        write(event)
    log.finalize()
    assert documents()[0]["counts"]["actions"] == 1


def test_overrides_nest_in_the_order_in_which_they_were_installed(log):
    def adding(letter):
        def add(event, write):
            event.data["message"] += letter
            write(event)

        return add

    for letter in "abc":
        tailrace.override(adding(letter), agent="x")
    log.agent("x").info("-")
    log.finalize()
    assert documents()[0]["logs"][0]["message"] == "-abc"


def test_an_override_that_logs_does_not_meet_itself(log):
    @tailrace.override()
    def talking(event, write):
        log.info("saw", type=event.type)
        write(event)

    log.log_action("x")
    log.finalize()
    (document,) = documents()
    assert [line["fields"]["type"] for line in document["logs"]] == ["run.start", "action", "run.end"]


def test_removing_an_override_ends_it_and_leaves_the_call_as_it_was(log):
    installed = tailrace.override(overrides.drop)
    log.info("dropped")
    installed.remove()
    installed.remove()
    assert state.recorder().intercept is None
    log.info("kept")
    log.finalize()
    assert [line["message"] for line in documents()[0]["logs"]] == ["kept"]


def test_overrides_hold_through_a_new_configuration_and_in_a_fork():
    code, out, err = run(
        "import os, tailrace\n"
        "tailrace.override(tailrace.overrides.drop, action='x')\n"
        "tailrace.configure_logger('one', publish='external')\n"
        "log = tailrace.configure_logger('two')\n"
        "log.log_action('x')\n"
        "if os.fork() == 0:\n"
        "    log.log_action('x'); print('child', log.stats().dropped, flush=True); os._exit(0)\n"
        "os.wait()\n"
        "print('parent', log.stats().dropped)\n"
    )
    assert code == 0, err
    assert out.splitlines() == ["child {'override:drop': 1}", "parent {'override:drop': 1}"]


def test_many_threads_through_an_override_lose_nothing(log):
    tailrace.override(lambda event, write: write(event))
    threads = [threading.Thread(target=lambda: [log.info("x") for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(type_ == "log" for type_, _ in types_and_data()) == 1600


KINDS = st.sampled_from(["write", "drop", "raise", "write_and_raise", "write_twice"])


@settings(max_examples=20, deadline=None)
@given(st.lists(KINDS, max_size=4), st.integers(1, 5))
def test_calls_are_accepted_or_dropped_whatever_overrides_do(tmp_path_factory, kinds, events):
    os.chdir(tmp_path_factory.mktemp("run"))
    state.reset()
    log = tailrace.configure_logger("w", publish="external")

    def behaving(kind):
        def function(event, write):
            for _ in range({"drop": 0, "raise": 0, "write_twice": 2}.get(kind, 1)):
                write(event)
            if "raise" in kind:
                raise ValueError

        return function

    for kind in kinds:
        tailrace.override(behaving(kind), action="x")
    expected = 0 if "drop" in kinds else 2 ** kinds.count("write_twice")
    for _ in range(events):
        log.log_action("x")
    log.finalize()
    stats = log.stats()
    assert stats.calls == stats.accepted + sum(stats.dropped.values())
    assert len(spooled()) == stats.accepted
    assert sum(type_ == "action" for type_, _ in types_and_data()) == events * expected
    assert documents()[0]["integrity"]["complete"]
    state.reset()


PLUGIN = """
import tailrace

def shouting(event, write):
    event.data["message"] = str(event.data.get("message")).upper()
    write(event)

@tailrace.override(agent="quiet")
def decorated(event, write):
    pass

def cannot_load():
    raise ImportError
"""


def test_entry_points_install_overrides_with_the_first_event(tmp_path):
    (tmp_path / "acme_overrides.py").write_text(PLUGIN)
    info = tmp_path / "acme_overrides-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-overrides\nVersion: 1.0\n")
    points = ["a = acme_overrides:shouting", "b = acme_overrides:decorated", "c = acme_overrides:missing"]
    (info / "entry_points.txt").write_text("[tailrace.overrides]\n" + "\n".join(points) + "\n")
    code, out, err = run(
        "import sys, tailrace\n"
        "log = tailrace.configure_logger('w', publish='external')\n"
        "assert 'acme_overrides' not in sys.modules\n"
        "log.info('first')\n"
        "log.agent('quiet').info('dropped')\n"
        "log.finalize()\n"
        "print(log.stats().dropped)\n",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path[1:]])},
    )
    assert code == 0, err
    assert out == "{'override:decorated': 1}\n"
    assert err.count("tailrace: ") == 1
    assert "override c (acme_overrides:missing) could not be loaded" in err
    assert [line["message"] for line in documents()[0]["logs"]] == ["FIRST"]


def test_a_first_event_reads_no_metadata_where_no_package_has_overrides():
    code, out, err = run(
        "import sys, tailrace\n"
        "log = tailrace.configure_logger('w', publish='external', redact={'enabled': False})\n"
        "log.info('first')\n"
        "print('importlib.metadata' in sys.modules)\n"
    )
    assert (code, out, err) == (0, "False\n", "")


def test_what_is_no_function_is_refused_at_once():
    with pytest.raises(TypeError, match="an override is a function"):
        tailrace.override("planner")
