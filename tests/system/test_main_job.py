"""The main job with every part real: agents' calls become searchable documents, through deaths of any process."""

import json
import signal
import time

import pytest
from confluent_kafka import Consumer, Producer

from tests.system.recorded import write_recorded

pytestmark = pytest.mark.timeout(240)


def eventually(check, seconds=60.0):
    """Poll another process's work: `check()` until it holds."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.2)
    return found


def test_recorded_runs_become_equal_documents_on_one_sqlite_file(embedded, tmp_path):
    runs = write_recorded(tmp_path / "runs.json", 60)
    assert embedded.finish(embedded.example("replay_chat.py", runs))[0] == 0
    code, out, err = embedded.finish(embedded.example("check_replay.py", runs))
    assert (code, err) == (0, ""), out
    assert out.splitlines()[-1].startswith("60 of 60 documents, 60 complete")


def test_recorded_runs_become_equal_documents_on_kafka_and_opensearch(pipeline, tmp_path):
    runs = write_recorded(tmp_path / "runs.json", 60)
    pipeline.start()
    code, out, err = pipeline.finish(pipeline.example("replay_chat.py", runs))
    assert (code, err) == (0, ""), out
    code, out, err = pipeline.finish(pipeline.example("check_replay.py", runs, "--wait", 60))
    assert (code, err) == (0, ""), (out, pipeline.logs())
    assert out.splitlines()[-1].startswith("60 of 60 documents, 60 complete")
    listed = [
        json.loads(line) for line in pipeline.tailrace("runs", "--limit", "100", "-o", "json").stdout.splitlines()
    ]
    assert {run["final_status"] for run in listed} == {"completed"}
    assert len({run["run_id"] for run in listed}) == 60
    shown = json.loads(pipeline.tailrace("show", listed[0]["run_id"][-8:], "-o", "json").stdout)
    assert shown["run_id"] == listed[0]["run_id"]
    found = pipeline.tailrace("search", "luggage", "-o", "json").stdout.splitlines()
    assert found
    assert pipeline.stop() == [0, 0, 0]


def test_the_checker_finds_a_difference(embedded, tmp_path):
    runs = write_recorded(tmp_path / "runs.json", 3)
    assert embedded.finish(embedded.example("replay_chat.py", runs))[0] == 0
    changed = json.loads(runs.read_text(encoding="utf-8"))
    changed[1]["traj"][2]["content"] = "something else"
    runs.write_text(json.dumps(changed), encoding="utf-8")
    code, out, _ = embedded.finish(embedded.example("check_replay.py", runs, "--wait", 0))
    assert code == 1
    assert "run 1: document" in out


def test_each_consumer_killed_once_and_the_agent_killed_half_way_lose_and_double_nothing(pipeline, tmp_path):
    runs = write_recorded(tmp_path / "runs.json", 60)
    accepted = tmp_path / "accepted"
    pipeline.start()
    replay = pipeline.example("replay_chat.py", runs, "--pace", 0.05, "--concurrency", 30, "--accepted", accepted)
    expected = sum(len(run["traj"]) for run in json.loads(runs.read_text(encoding="utf-8")))

    def calls():
        return accepted.read_bytes().count(b"\n") if accepted.exists() else 0

    for share, stage in ((0.15, "sample"), (0.3, "aggregate"), (0.45, "index")):
        eventually(lambda share=share: calls() > expected * share)
        pipeline.kill(stage)
        pipeline.start(stage)
    eventually(lambda: calls() > expected * 0.6)
    replay.send_signal(signal.SIGKILL)
    pipeline.finish(replay)
    pipeline.tailrace("ship")
    code, out, err = pipeline.finish(pipeline.example("check_replay.py", runs, "--accepted", accepted, "--wait", 90))
    assert (code, err) == (0, ""), (out, pipeline.logs())
    assert calls() < 2 * expected


def test_events_wait_while_kafka_is_away_and_arrive_when_it_is_back(pipeline, kafka, tmp_path):
    runs = write_recorded(tmp_path / "runs.json", 20)
    pipeline.start()
    first = pipeline.finish(pipeline.example("replay_chat.py", runs, "--workflow", "before"))
    assert first[0] == 0
    with kafka.killed():
        begin = time.monotonic()
        code, out, err = pipeline.finish(pipeline.example("replay_chat.py", runs, "--flush", "0.5"))
        assert code == 1
        assert "dropped: 0" in out
        assert err.count("\n") == 1
        assert "events wait on the spool" in err
        assert time.monotonic() - begin < 15
    code, out, err = pipeline.finish(pipeline.example("check_replay.py", runs, "--wait", 90))
    assert (code, err) == (0, ""), (out, pipeline.logs())


def test_the_index_stage_waits_for_opensearch_and_goes_on(pipeline, opensearch, tmp_path):
    runs = write_recorded(tmp_path / "runs.json", 20)
    pipeline.start()
    with opensearch.killed():
        assert pipeline.finish(pipeline.example("replay_chat.py", runs))[0] == 0
        eventually(lambda: "waits" in pipeline.logs()["index"] or "retry" in pipeline.logs()["index"].lower())
        assert pipeline.processes["index"].poll() is None
    code, out, err = pipeline.finish(pipeline.example("check_replay.py", runs, "--wait", 90))
    assert (code, err) == (0, ""), (out, pipeline.logs())


def test_garbage_on_an_events_topic_becomes_dead_letters_and_stops_nothing(pipeline, kafka, tmp_path, prefix):
    runs = write_recorded(tmp_path / "runs.json", 5)
    assert pipeline.finish(pipeline.example("replay_chat.py", runs))[0] == 0
    garbage = [b"", b"not json", b"\xff\xfe", b"[1,2]", b'{"id":"x"}', b'{"id":', b"[" * 10_000]
    producer = Producer({"bootstrap.servers": kafka.address})
    for value in garbage:
        producer.produce(f"{prefix}.events.replay-chat", value=value, key=b"garbage")
    assert producer.flush(20) == 0
    pipeline.start()
    code, out, err = pipeline.finish(pipeline.example("check_replay.py", runs, "--wait", 60))
    assert (code, err) == (0, ""), (out, pipeline.logs())
    letters = consume(kafka, f"{prefix}.dead", len(garbage))
    assert sorted(letter.value() or b"" for letter in letters) == sorted(garbage)
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers()}
        assert headers["tr-topic"] == f"{prefix}.events.replay-chat"
        assert headers["tr-stage"] == "sample"
        assert int(headers["tr-partition"]) >= 0
        assert int(headers["tr-offset"]) >= 0
        assert headers["tr-error"]


def test_another_system_reads_every_event_with_the_contracts_fields(pipeline, kafka, tmp_path, prefix):
    runs = write_recorded(tmp_path / "runs.json", 10)
    code, out, _ = pipeline.finish(pipeline.example("replay_chat.py", runs))
    assert code == 0
    accepted = int(out.splitlines()[-1].split()[0])
    records = consume(kafka, f"{prefix}.events.replay-chat", accepted)
    assert len(records) == accepted
    places = {}
    for record in records:
        event = json.loads(record.value())
        assert {"id", "seq", "pid", "run", "workflow", "type", "ts", "data"} <= event.keys()
        assert event["id"] == f"{event['pid']}-{event['seq']}"
        assert record.key().decode() == event["run"]
        assert event["workflow"] == "replay-chat"
        headers = dict(record.headers())
        assert headers["content-type"] == b"application/json"
        assert headers["tr-v"] == b"1"
        assert headers.get("traceparent", b"00-" + record.key()).startswith(b"00-" + record.key())
        places.setdefault(event["run"], set()).add(record.partition())
    assert len({json.loads(record.value())["id"] for record in records}) == accepted
    assert all(len(partitions) == 1 for partitions in places.values())


def consume(kafka, topic, count):
    """As any other system would: a plain consumer of confluent-kafka, from the start."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.address, "group.id": f"outside-{topic}", "auto.offset.reset": "earliest"}
    )
    try:
        consumer.subscribe([topic])
        found = []
        deadline = time.monotonic() + 40
        while len(found) < count and time.monotonic() < deadline:
            found += [record for record in consumer.consume(500, 0.5) if record.error() is None]
        return found
    finally:
        consumer.close()
