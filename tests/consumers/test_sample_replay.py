"""What other policies would have kept of real history: the same as a sampler with them does keep."""

from contextlib import aclosing

import anyio
import msgspec
import pytest

from tailrace.bus import Record
from tailrace.bus.topics import Topics
from tailrace.cli.app import run as command
from tailrace.config import Config
from tailrace.consumer import find_consumer
from tailrace.event import encode, types
from tailrace.registry import open_bus
from tailrace.sampling import Condition, Policy, SampleSettings
from tailrace_consumers.sample.history import history
from tailrace_consumers.sample.replay import replay
from tests.consumers.making import end, event, failure, start

pytestmark = pytest.mark.anyio

SETTINGS = SampleSettings(
    policies=[Policy(Condition(cost_over=1.0), name="dear"), Policy(Condition(errors=True), rate=0.5)],
    rate=0.25,
    grace=0.0,
    decision_wait=0.0,
)


def events():
    for number in range(40):
        run = f"run-{number}"
        cost = 2.0 if number % 10 == 0 else 0.25
        yield from (start(run), event(run, 1, types.ACTION, action_name="chat", tokens=10, cost=cost))
        yield failure(run, 2) if number % 4 == 1 else event(run, 2)
        yield end(run, 3)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_HOME", str(tmp_path / "home"))
    config = Config(home=str(tmp_path / "home"), sample=SETTINGS)
    anyio.run(publish, config)
    return config


async def publish(config):
    async with aclosing(open_bus(config)) as bus:
        topic = Topics(config.prefix).events("w")
        await bus.publish([Record(topic, each.run.encode(), encode(each)) for each in events()])
        await bus.publish([Record(topic, b"k", b"nonsense")])
        await bus.publish([Record(topic, b"old", encode(event("old", 9)))])


async def test_a_replay_counts_what_a_sampler_with_these_policies_keeps_and_drops(config):
    async with aclosing(open_bus(config)) as bus:
        before = await bus.topics()
        report = await replay(config, bus, SETTINGS, "earliest")
        assert await bus.topics() == before
    (sampled,) = await find_consumer("sample")(config, until="caught_up")
    shares = {f"{'kept' if share.kept else 'dropped'}_by_{share.policy}": share.runs for share in report.shares}
    assert shares == {name: count for name, count in sampled.counts.items() if "_by_" in name}


async def test_every_run_is_in_one_share_with_what_it_came_to(config):
    async with aclosing(open_bus(config)) as bus:
        report = await replay(config, bus, SETTINGS, "earliest")
    assert sum(share.runs for share in report.shares) == 40
    assert sum(share.events for share in report.shares) == 160
    assert sum(share.bytes for share in report.shares) == sum(len(encode(each)) for each in events())
    assert sum(share.cost_usd for share in report.shares) == 4 * 2.0 + 36 * 0.25
    assert report.shares[0].policy == "dear"
    assert (report.shares[0].runs, report.shares[0].weight) == (4, 4.0)
    assert (report.earlier, report.unreadable) == (1, 1)


def test_the_command_reads_policies_from_a_file_and_prints_them(config, tmp_path, capsys):
    policies = tmp_path / "other.toml"
    policies.write_text('[sample]\nrate = 0.0\n\n[[sample.policies]]\nname = "dear"\nwhen = {cost_over = 1.0}\n')
    assert command(["sample", "--replay", "--policy", str(policies), "-o", "json"]) == 0
    out, err = capsys.readouterr()
    shares = [msgspec.json.decode(line) for line in out.splitlines()]
    assert [(each["policy"], each["kept"], each["runs"]) for each in shares] == [
        ("dear", True, 4),
        ("rate", False, 36),
    ]
    assert "1 run begun before" in err
    assert command(["sample", "--replay", "--since", "1h"]) == 0
    assert "rate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs --replay"),
        (["--replay", "--policy", "nowhere.toml"], "nowhere.toml cannot be read"),
    ],
)
def test_what_cannot_be_replayed_is_said(config, capsys, arguments, said):
    assert command(["sample", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_wrong_policy_in_the_file_is_named_with_the_fix(config, tmp_path, capsys):
    policies = tmp_path / "other.toml"
    policies.write_text("[[sample.policies]]\nwhen = {eror = true}\n")
    assert command(["sample", "--replay", "--policy", str(policies)]) == 2
    error = capsys.readouterr().err
    assert "sample.policies[0].when.eror" in error
    assert "did you mean 'sample.policies[0].when.errors'?" in error


async def test_history_ends_also_where_records_keep_coming(config, monkeypatch):
    monkeypatch.setattr("tailrace_consumers.sample.history._SKEW", 0.0)
    monkeypatch.setattr("tailrace_consumers.sample.history._PATIENCE", 0.3)
    received = []
    async with aclosing(open_bus(config)) as bus, anyio.create_task_group() as group:

        async def keep_coming():
            while True:
                await bus.publish([Record(Topics(config.prefix).events("w"), b"k", b"more")])

        group.start_soon(keep_coming)
        with anyio.fail_after(60):
            async with aclosing(history(bus, Topics(config.prefix).all_events, "earliest")) as batches:
                async for records in batches:
                    received += records
        group.cancel_scope.cancel()
    assert len(received) >= 162
