"""`inject`, `extract` and `wrap` within one process: whose run a call goes into, and what comes back."""

import asyncio
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

import tailrace
from tailrace.logger import propagation
from tailrace.logger.context import current
from tests.logger.conftest import documents

FOREIGN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def elsewhere(log, monkeypatch):
    """As in another process: another producer, to which the runs begun before are unknown."""

    def forget():
        log.close(0)
        monkeypatch.setattr(propagation, "_runs", propagation._Runs())
        current.set(None)

    return forget


def test_what_is_logged_in_the_block_goes_into_the_senders_run_under_its_node(log, elsewhere):
    @tailrace.agent("critic")
    def check():
        log.log_action("check")

    with log.run() as run, run.iteration() as round_, round_.interaction("planner") as turn, turn.action("ask"):
        carrier = tailrace.inject({"other": "kept"})
    assert carrier["other"] == "kept"
    elsewhere()
    with tailrace.extract(carrier) as inbound:
        assert (inbound.run_id, log.run_id) == (run.run_id, run.run_id)
        log.info("here")
        check()
    assert current.get() is None
    (document,) = documents()
    (iteration,) = document["iterations"]
    planner, critic = iteration["interactions"]
    (ask,) = planner["actions"]
    assert critic["parent"] == ask["id"]
    assert [action["action_name"] for action in critic["actions"]] == ["check"]
    (line,) = document["logs"]
    assert (line["iteration"], line["interaction"], line["action"]) == (iteration["id"], planner["id"], ask["id"])
    assert line["agent"] == "planner"
    assert document["integrity"]["complete"]


def test_kafka_headers_carry_it_as_bytes_and_keep_others(log, elsewhere):
    with log.run() as run:
        headers = tailrace.inject([("key", b"\xff"), ("traceparent", b"00-x")])
    assert headers[0] == ("key", b"\xff")
    assert [name for name, _ in headers] == ["key", "traceparent", "tracestate", "baggage"]
    assert all(isinstance(value, bytes) for _, value in headers)
    elsewhere()
    with tailrace.extract(tuple(headers)) as inbound:
        assert inbound.run_id == run.run_id


def test_without_a_run_nothing_is_written(log):
    assert tailrace.inject() == {}
    assert tailrace.inject([]) == []


@pytest.mark.parametrize("carrier", [None, {}, [], (), {"other": "x"}])
def test_a_carrier_without_headers_changes_nothing_and_is_not_counted(log, carrier):
    with log.run() as run, tailrace.extract(carrier) as inbound:
        assert (inbound.run_id, log.run_id) == (None, run.run_id)
    assert log.stats().inbound_rejected == {}


def test_plain_calls_in_the_block_nest_under_the_sender_and_end_nothing_of_its(log, elsewhere):
    with log.run() as run, run.interaction("planner"):
        carrier = tailrace.inject()
    elsewhere()
    with tailrace.extract(carrier):
        log.end_interaction(output_data="stray")
        log.start_iteration(7)
        log.start_interaction("critic", input_data=1)
        log.end_interaction(output_data=2)
        log.end_iteration()
    (document,) = documents()
    (planner,), (iteration,) = document["interactions"], document["iterations"]
    assert (planner["status"], "output_data" in planner) == ("success", False)
    assert iteration["parent"] == planner["id"]
    assert iteration["interactions"][0]["output_data"] == 2
    assert document["other_events"] == []


def test_many_extracts_of_one_run_count_its_events_without_holes(log, elsewhere):
    with log.run():
        carrier = tailrace.inject()
    elsewhere()
    for number in range(20):
        with tailrace.extract(carrier):
            log.info(number)
        gc.collect()
    (document,) = documents()
    assert document["integrity"]["received"] == document["counts"]["events"] == 22
    assert document["integrity"]["complete"]


def test_headers_that_come_back_to_the_process_of_the_run_count_on_even_after_its_end(log):
    with log.run() as run:
        carrier = tailrace.inject()
        with tailrace.extract(carrier):
            log.info("inside")
    with tailrace.extract(carrier):
        assert log.run_id == run.run_id
        log.info("after its end")
    (document,) = documents()
    assert [line["message"] for line in document["logs"]] == ["inside", "after its end"]
    assert document["integrity"]["received"] == document["counts"]["events"] == 4
    assert document["integrity"]["complete"]


def test_runs_of_others_beyond_the_limit_are_forgotten(log, elsewhere, monkeypatch):
    monkeypatch.setattr(propagation, "_MAX_RUNS", 3)
    carriers = []
    for _ in range(5):
        with log.run():
            carriers.append(tailrace.inject())
    elsewhere()
    for carrier in carriers:
        with tailrace.extract(carrier):
            log.info("x")
    gc.collect()
    assert len(propagation._runs._known) == 3


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"traceparent": "x" * 9000}, "oversize"),
        ({"traceparent": "00-zz-zz-01"}, "traceparent"),
        ({"traceparent": "00-\r\nx: y"}, "malformed"),
        ({"traceparent": FOREIGN, "tracestate": "tailrace=../../etc"}, "tracestate"),
        ({"traceparent": FOREIGN, "baggage": "tailrace.workflow=%0d%0a"}, "baggage"),
        (7, "malformed"),
        ([1, 2], "malformed"),
        ([("traceparent",)], "malformed"),
    ],
)
def test_hostile_headers_are_counted_and_told_and_change_nothing(log, capsys, headers, reason):
    for _ in range(2):
        with log.run() as run, tailrace.extract(headers) as inbound:
            assert inbound.run_id is None
            assert log.run_id == run.run_id
    assert log.stats().inbound_rejected == {reason: 2}
    assert capsys.readouterr().err.count("tailrace: inbound headers") == 1


def test_settings_say_whose_headers_are_believed(log, elsewhere):
    with log.run():
        carrier = tailrace.inject(baggage={"tenant": "acme", "secret": "x"})
    elsewhere()
    settings = {"workflow_name": "support-bot", "publish": "external"}
    tailrace.configure_logger(**settings, propagation={"workflows": ["other"]})
    assert tailrace.extract(carrier).run_id is None
    assert log.stats().inbound_rejected == {"workflow": 1}
    tailrace.configure_logger(**settings, propagation={"accept": False})
    assert tailrace.extract(carrier).run_id is None
    believed = {"accept": True, "workflows": ["support-bot"], "baggage": ["tenant"]}
    tailrace.configure_logger(**settings, propagation=believed)
    with tailrace.extract(carrier) as inbound:
        assert inbound.baggage == {"tenant": "acme"}
        passed_on = tailrace.inject()
    assert "tenant=acme" in passed_on["baggage"]
    assert "secret" not in passed_on["baggage"]


def test_a_run_that_begins_under_a_foreign_trace_names_its_span_and_keeps_its_own_id(log):
    with tailrace.extract({"traceparent": FOREIGN}):
        with log.run() as run:
            with log.run():
                pass
            log.info("x")
        log.info("a run of plain calls")
        log.finalize()
    with log.run():
        pass
    first, inner, plain, after = sorted(documents(), key=lambda document: document["start_time"])
    assert first["parent"] == plain["parent"] == FOREIGN
    assert first["run_id"] == run.run_id != FOREIGN[3:35]
    assert inner["parent"] == f"00-{run.run_id}-{run.run_id[16:]}-01"
    assert "parent" not in after


def test_extract_blocks_nest_and_work_in_async_with(log, elsewhere):
    carriers = []
    for _ in range(2):
        with log.run() as run:
            carriers.append((run.run_id, tailrace.inject()))
    elsewhere()

    async def main():
        (outer_id, outer), (inner_id, inner) = carriers
        async with tailrace.extract(outer):
            with tailrace.extract(inner):
                assert log.run_id == inner_id
            assert log.run_id == outer_id

    asyncio.run(main())


def test_a_wrapped_function_runs_in_the_place_where_it_was_wrapped(log):
    def work(number):
        log.info(number)
        return number

    with log.run() as run, run.interaction("planner") as turn, ThreadPoolExecutor(4) as pool:
        wrapped = tailrace.wrap(work)
        with turn.action("elsewhere"):
            assert sorted(pool.map(wrapped, range(40))) == list(range(40))
        assert wrapped.__name__ == "work"
        assert pool.submit(current.get).result() is None
    (document,) = documents()
    assert sorted(line["message"] for line in document["logs"]) == list(range(40))
    assert {(line["interaction"], line.get("action")) for line in document["logs"]} == {
        (document["interactions"][0]["id"], None)
    }


def test_a_wrapped_coroutine_function_runs_there_too(log):
    async def work():
        await asyncio.sleep(0)
        log.info("inside")

    with log.run() as run, run.interaction("planner"):
        wrapped = tailrace.wrap(work)
    with log.run():
        log.info("mine")
        with log.run() as other:
            asyncio.run(wrapped())  # its run has ended: it begins its own, as any call
            assert log.run_id == other.run_id
    with log.run() as run, run.interaction("planner"):
        wrapped = tailrace.wrap(work)

        async def elsewhere():
            current.set(None)
            await wrapped()
            assert current.get() is None

        asyncio.run(elsewhere())
    inside = [line for document in documents() for line in document["logs"] if line["message"] == "inside"]
    assert [("interaction" in line) for line in inside] == [False, True]


def module_function(number):
    tailrace.get_logger().info(number)
    return number


def test_a_wrapped_function_keeps_its_place_when_it_is_pickled(log, elsewhere):
    with log.run() as run, run.interaction("planner"):
        pickled = pickle.dumps(tailrace.wrap(module_function))
    elsewhere()
    again = pickle.loads(pickle.dumps(pickle.loads(pickled)))
    assert [again(number) for number in range(3)] == [0, 1, 2]
    (document,) = documents()
    assert {line["interaction"] for line in document["logs"]} == {document["interactions"][0]["id"]}
    assert document["integrity"]["complete"]


def test_a_carrier_that_cannot_be_written_raises_nothing_and_is_counted(log):
    class ReadOnly(dict):
        def __setitem__(self, key, value):
            raise PermissionError(key)

    with log.run():
        assert tailrace.inject(ReadOnly()) == {}
    assert log.stats().capture_failed == 1


def test_an_opentelemetry_trace_and_a_run_share_their_ids_whoever_comes_first(log):
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.propagate import extract, inject
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    with log.run() as run, run.interaction("planner") as turn:
        context = extract(tailrace.inject())
        with tracer.start_as_current_span("http", context) as span:
            assert f"{span.get_span_context().trace_id:032x}" == run.run_id
            assert f"{span.parent.span_id:016x}" == turn._scope.interaction
            onwards = {}
            inject(onwards)  # by an instrumented client: its own span, in the run's trace
            carrier = tailrace.inject(onwards)
    assert carrier["traceparent"].split("-")[2] == f"{span.get_span_context().span_id:016x}"
    with tailrace.extract(carrier) as inbound:
        assert inbound.run_id == run.run_id
    with tracer.start_as_current_span("request") as span, log.run():
        pass
    told = span.get_span_context()
    assert documents()[1]["parent"] == f"00-{told.trace_id:032x}-{told.span_id:016x}-01"
