"""The benchmarks run and tell what they measured. No timing is judged here: that is `make bench` on a quiet machine."""

import asyncio
import http.client
import json
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest

from benchmarks import memory, readme, report, servers
from benchmarks.__main__ import main
from benchmarks.catalog import PEERS, missing
from benchmarks.consumers import report as consumers_report
from benchmarks.consumers.plan import QUICK as QUICK_CONSUMERS
from benchmarks.consumers.plan import Plan as ConsumersPlan
from benchmarks.measure.loop import Ticker
from benchmarks.measure.statistics import peak_mib, resident_mib
from benchmarks.payloads import payloads
from benchmarks.peers import Peer
from benchmarks.peers.kafka import ConfluentKafkaSame, _KafkaClient
from benchmarks.peers.ours import SpoolOnly
from benchmarks.plan import QUICK, Plan
from benchmarks.readme import CONSUMERS, LOGGING, SectionError
from benchmarks.run import Outcome, Row
from benchmarks.targets import TARGETS, Target, judge, over_rounds
from tailrace.event.types import ACTION, CODES
from tailrace.publish.records import record_of
from tailrace.spool.frame import parse

BEGIN, END = LOGGING
ROOT = Path(__file__).parents[1]
_CALL = {
    "wall_ns",
    "wall_floors",
    "total_cpu_ns",
    "total_cpu_floors",
    "caller_cpu_ns",
    "single_p999_ns",
    "paced_p50_ns",
    "delivered_share",
    "rss_mib",
}


def _bench(*arguments: str, output: Path) -> int:
    return main(["--quick", "--events", "400", "--output", str(output), *arguments])


def test_the_quick_form_prints_a_table_and_leaves_its_figures_as_json(tmp_path, capsys):
    output = tmp_path / "results" / "quick.json"
    assert _bench("--peers", "floor,tailrace,structlog", "--modes", "call,loop", output=output) == 0

    measured = {"floor", "tailrace"} | ({"structlog"} - {missing(PEERS["structlog"]) and "structlog"})
    done = report.read(output)
    assert {(row.peer, row.mode) for row in done.rows} == {
        (peer, mode) for peer in measured for mode in ("call", "loop")
    }
    assert set(done.left_out) == {"floor", "tailrace", "structlog"} - measured
    for row in done.rows:
        assert not row.error
        assert row.figures.keys() >= (
            _CALL if row.mode == "call" else {"late_p999_ms", "calm_p999_ms", "added_p999_ms", "events_per_s"}
        )
        assert row.figures.get("delivered_share", 1) == 1
    assert json.loads(output.read_bytes())["versions"]["tailrace"]

    table = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert measured <= set(table)
    assert {target.what for target in TARGETS} <= set(table)


@pytest.mark.timeout(240)
def test_what_needs_a_bus_is_measured_on_a_real_kafka(kafka_url, tmp_path):
    output = tmp_path / "quick.json"
    address = kafka_url.removeprefix("kafka://")
    peers = ("--peers", "tailrace_kafka,confluent_kafka,confluent_kafka_same", "--kafka", address)
    assert _bench(*peers, "--modes", "backlog,sustained,outage", "--outage-seconds", "0.5", output=output) == 0

    figures = {(row.mode, row.peer): row.figures for row in report.read(output).rows}
    assert figures.keys() == {
        ("backlog", "tailrace_kafka"),
        ("outage", "tailrace_kafka"),
        ("sustained", "tailrace_kafka"),
        ("sustained", "confluent_kafka"),
        ("sustained", "confluent_kafka_same"),
    }
    for mode, peer in figures:
        assert mode != "sustained" or figures[mode, peer]["delivered_share"] == 1


@pytest.mark.anyio
async def test_confluent_kafka_is_also_given_the_record_that_tailrace_makes(tmp_path):
    pool = payloads()
    ours = SpoolOnly(pool, tmp_path, "", "")
    await ours.open()
    ours.call(3)
    segment = next(tmp_path.glob("home/spool/*/segment-*1.frames"))
    frames = parse(segment.read_bytes(), final=True).frames
    await ours.close()
    record = record_of(next(frame for frame in frames if frame.code == CODES[ACTION]))

    theirs = ConfluentKafkaSame(pool, tmp_path, "", "")
    await _KafkaClient.open(theirs)
    theirs.prepare()
    theirs._producer = Mock()
    theirs.call(3)
    (_, value, key), given = theirs._producer.produce.call_args
    made, expected = json.loads(value), json.loads(record.value)
    assert list(made) == list(expected)
    assert made["data"] == expected["data"]
    assert abs(len(value) - len(record.value)) < 20  # ids of their own, numbers of other lengths
    assert len(key) == len(record.key)
    assert [(name, len(text)) for name, text in given["headers"]] == [
        (name, len(text)) for name, text in record.headers
    ]


def test_free_memory_is_used_once_and_nearly_all_of_it_is_let_go(tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: {3 << 20} kB\nMemFree: {(memory._LEFT_MIB + 64) * 1024} kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident_mib()
    with memory.used_before() as used:
        assert used == 64
        assert peak_mib() - before > 60
        assert resident_mib() - before < 16


def test_memory_is_left_alone_where_little_is_free_or_nothing_is_known_of_it(tmp_path, monkeypatch):
    for text in ("MemFree: 1024 kB\n", "MemTotal: 1024 kB\n"):
        (tmp_path / "meminfo").write_text(text)
        monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
        with memory.used_before() as used:
            assert used == 0
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "nothing")
    with memory.used_before() as used:
        assert used == 0


def test_a_measurement_that_fails_is_told_and_the_others_go_on(tmp_path, capsys):
    output = tmp_path / "quick.json"
    # The discard port: nobody listens there.
    given = ("--peers", "aiokafka,nothing", "--modes", "call", "--kafka", "127.0.0.1:9")
    assert _bench(*given, output=output) == 1

    rows = {row.peer: row for row in report.read(output).rows}
    assert "KafkaConnectionError" in rows["aiokafka"].error
    assert rows["nothing"].figures
    assert "aiokafka call: " in capsys.readouterr().out


def test_an_unknown_peer_is_refused_with_the_known_ones(tmp_path, capsys):
    with pytest.raises(SystemExit):
        _bench("--peers", "floor,nobody", output=tmp_path / "never.json")
    said = capsys.readouterr().err
    assert "unknown: nobody" in said
    assert "structlog" in said


def test_every_peer_says_what_is_measured_of_it(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PEERS)
    assert all(len(line.split()) > 4 for line in lines)


class _Counting(Peer):
    """Says when it was called ten times."""

    def __init__(self) -> None:
        super().__init__([], Path(), "", "")
        self.calls = 0
        self.ten = asyncio.Event()

    def call(self, i: int) -> None:
        self.calls += 1
        if self.calls == 10:
            self.ten.set()


@pytest.mark.anyio
async def test_beside_the_ticker_agents_call_in_loud_turns_only():
    peer = _Counting()
    async with Ticker(peer, QUICK) as ticker:
        await ticker.calm(0.05)
        assert peer.calls == 0
        await ticker.loud(peer.ten.wait())
        loud = peer.calls
        await ticker.calm(0.05)
        assert peer.calls == loud

    figures = ticker.figures()
    assert round(figures["events_per_s"] * figures["seconds_s"]) == loud
    assert figures["added_p999_ms"] == figures["late_p999_ms"] - figures["calm_p999_ms"]


@pytest.mark.parametrize(("figure", "value"), [("wall_ns", 900.0), ("delivered_per_s", 5_000.0), ("rss_mib", 1_000.0)])
def test_of_costs_and_rates_the_best_round_counts_and_of_all_else_the_median(figure, value):
    rows = [Row("floor", "call", number, {figure: found}) for number, found in enumerate((900.0, 5_000.0, 1_000.0))]
    assert over_rounds(rows) == {("call", "floor"): {figure: value}}


@pytest.mark.parametrize(
    ("value", "at_least", "verdict"),
    [
        (2.5, False, "aim"),
        (2.6, False, "must"),
        (3.5, False, "must"),
        (3.6, False, "missed"),
        (3.6, True, "aim"),
        (2.4, True, "missed"),
    ],
)
def test_a_value_is_judged_by_both_limits(value, at_least, verdict):
    limits = (2.5, 3.5) if at_least else (3.5, 2.5)
    (judged,) = judge({}, [Target("a ratio", *limits, lambda _: value, at_least)])
    assert (judged.value, judged.verdict) == (value, verdict)


def test_the_targets_compare_what_they_say():
    figures = {
        "wall_floors": 2.0,
        "total_cpu_floors": 7.0,
        "process_cpu_floors": 4.0,
        "single_p50_ns": 2.0,
        "single_p999_ns": 30.0,
    }
    figures |= {"paced_p50_ns": 3.0, "paced_p999_ns": 15.0}
    rows = [Row(peer, "call", 0, figures) for peer in ("tailrace", "tailrace_sqlite", "tailrace_kafka")]
    rows += [Row("structlog", "call", 0, {"wall_floors": 5.0})]
    rows += [Row("tailrace_override_elsewhere", "call", 0, {"wall_floors": 2.4})]
    rows += [Row("tailrace_override_matching", "call", 0, {"wall_floors": 7.0})]
    rows += [Row("tailrace_kafka", "loop", 0, {"added_p999_ms": 0.1})]
    rows += [Row("tailrace_kafka", "backlog", 0, {"added_p999_ms": 0.4})]
    rows += [Row("tailrace_kafka", "sustained", 0, {"delivered_per_s": 60.0})]
    rows += [Row("confluent_kafka", "sustained", 0, {"delivered_per_s": 100.0})]
    rows += [Row("confluent_kafka_same", "sustained", 0, {"delivered_per_s": 80.0})]
    found = [
        (judged.what, judged.value and round(judged.value, 3), judged.verdict) for judged in judge(over_rounds(rows))
    ]
    assert found == [
        ("call, wall time / floor", 2.0, "aim"),
        ("call, wall time / structlog", 0.4, "aim"),
        ("call, wall time / picologging", None, "not measured"),
        ("call with an override for others / with none", 1.2, "must"),
        ("call with an override that matches / with none", 3.5, "missed"),
        ("p99.9 / median of calls in a burst, SQLite bus", 15.0, "must"),
        ("p99.9 / median of calls in a burst, Kafka", 15.0, "must"),
        ("p99.9 / median of calls at 2,000/s, SQLite bus", 5.0, "aim"),
        ("p99.9 / median of calls at 2,000/s, Kafka", 5.0, "aim"),
        ("ticker's p99.9 over no logging, SQLite bus, ms", None, "not measured"),
        ("ticker's p99.9 over no logging, Kafka, ms", 0.1, "aim"),
        ("the same while a backlog drains, SQLite bus, ms", None, "not measured"),
        ("the same while a backlog drains, Kafka, ms", 0.4, "must"),
        ("CPU of the process until Kafka acknowledged / floor", 4.0, "aim"),
        ("the same, with its companion's", 7.0, "missed"),
        ("events/s into Kafka / confluent-kafka", 0.6, "missed"),
        ("events/s into Kafka / confluent-kafka with the same record", 0.75, "must"),
        ("memory over an outage, MiB", None, "not measured"),
    ]


def _results(path: Path, plan: Plan) -> Path:
    rows = [Row("tailrace", "call", 0, {"wall_ns": 2_400.0, "wall_floors": 2.5})]
    report.write(report.of(Outcome(rows, {"loguru": "loguru is not installed"}), plan), path)
    return path


def test_the_readme_gets_the_tables_of_the_last_run_and_keeps_the_rest(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"# before\n\n{BEGIN}\nan old table\n{END}\n\nafter\n")
    results = str(_results(tmp_path / "latest.json", Plan()))
    arguments = ["--results", results, "--consumers", str(tmp_path / "none"), "--readme", str(page)]
    assert readme.main(arguments) == 0
    once = page.read_text()
    assert once.startswith(f"# before\n\n{BEGIN}\n")
    assert once.endswith(f"{END}\n\nafter\n")
    assert "an old table" not in once
    (ours,) = (line for line in once.splitlines() if line.startswith("| tailrace "))
    assert ours.split("|")[3:5] == ["     2.40 ", "     2.5 "]

    assert readme.main(arguments) == 0
    assert page.read_text() == once


@pytest.mark.parametrize(
    "page", ["no marks", BEGIN, f"{BEGIN}{BEGIN}{END}", f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"]
)
def test_a_readme_without_a_place_for_the_tables_is_left_alone(page):
    with pytest.raises(SectionError, match="these two lines"):
        readme.rewritten(page, "tables")


def test_a_quick_run_is_not_published(tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text(f"{BEGIN}{END}")
    results = str(_results(tmp_path / "quick.json", QUICK))
    assert readme.main(["--results", results, "--consumers", str(tmp_path / "none"), "--readme", str(page)]) == 1
    assert page.read_text() == f"{BEGIN}{END}"
    assert "too short" in capsys.readouterr().err


def _consumers(path: Path, plan: ConsumersPlan) -> Path:
    job = {"events": 200_000.0, "documents": 4_000.0, "wall_s": 4.0, "cpu_s": 3.0, "peak_mib": 80.0}
    waits = {"p50": 0.4, "p99": 1.5, "p999": 1.8, "max": 1.9}
    latency = {f"{who}_{name}_s": wait for who in _READERS for name, wait in waits.items()}
    latency |= {f"{who}_events": 8_000.0 for who in _READERS}
    rows = [Row("tailrace", "job", 0, job, load=0.7), Row("tailrace", "latency", 0, latency)]
    consumers_report.write(consumers_report.of(Outcome(rows, {"quix": "there is no quix"}), plan), path)
    return path


_READERS = ("published", "sampled", "joined", "tailed", "shown", "found")


def test_the_readme_gets_the_tables_of_the_consumers_too_with_day_and_machine(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"{BEGIN}the calls{END}\n{CONSUMERS.begin}run the benchmark{CONSUMERS.end}\nafter\n")
    results = _consumers(tmp_path / "consumers.json", ConsumersPlan())
    arguments = ["--results", str(tmp_path / "none"), "--consumers", str(results), "--readme", str(page)]
    assert readme.main(arguments) == 0
    written = page.read_text()
    assert "run the benchmark" not in written
    assert written.startswith(f"{BEGIN}the calls{END}\n{CONSUMERS.begin}\n")
    assert written.endswith(f"{CONSUMERS.end}\nafter\n")
    (line,) = (line for line in written.splitlines() if line.startswith("| aggregate: 50 events"))
    assert [cell.strip() for cell in line.split("|")[2:5]] == ["tailrace", "50,000", "15.0"]
    (line,) = (line for line in written.splitlines() if "`tailrace tail -f`" in line and "8,000" in line)
    assert [cell.strip() for cell in line.split("|")[2:6]] == ["8,000", "400", "1500", "1900"]
    assert "| from a call to found in OpenSearch, p99, s" in written
    done = consumers_report.read(results)
    assert f"{done.measured_at[:10]}, {done.machine.cpu}, {done.machine.cores} cores" in written
    assert "- quix: left out, there is no quix" in written

    assert readme.main(arguments) == 0
    assert page.read_text() == written


def test_a_quick_run_of_the_consumers_is_not_published(tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text(f"{CONSUMERS.begin}{CONSUMERS.end}")
    results = _consumers(tmp_path / "consumers.json", QUICK_CONSUMERS)
    assert readme.main(["--results", "none", "--consumers", str(results), "--readme", str(page)]) == 1
    assert page.read_text() == f"{CONSUMERS.begin}{CONSUMERS.end}"
    assert "too short" in capsys.readouterr().err


def test_without_any_results_the_readme_is_left_alone(tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text("as it was")
    assert readme.main(["--results", "none", "--consumers", "none", "--readme", str(page)]) == 1
    assert page.read_text() == "as it was"
    assert "is there" in capsys.readouterr().err


def test_the_readme_has_a_place_for_each_of_the_two():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for marks in (LOGGING, CONSUMERS):
        assert "the tables" in readme.rewritten(page, "the tables", marks)


def test_the_sink_takes_bodies_of_both_kinds_on_one_connection():
    with servers.http_sink() as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        for body, path in ((b"x" * 3_000_000, "/v1/traces"), (iter([b"a" * 70_000, b"b"]), "/runs"), (None, "/info")):
            connection.request("POST" if body else "GET", path, body, {"Expect": ""} if path == "/runs" else {})
            answer = connection.getresponse()
            assert answer.status == 200
            read = answer.read()
        assert json.loads(read)["batch_ingest_config"]["use_multipart_endpoint"]
        connection.close()
