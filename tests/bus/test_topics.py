import re

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from tailrace.bus.topics import OVERFLOW_TOPICS, Topics, murmur2, partition_of, slug


# Of Apache Kafka's own UtilsTest.testMurmur2, where they are signed integers.
@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_what_kafka_s_own_tests_expect(data, signed):
    assert murmur2(data) == signed & 0xFFFFFFFF


@given(st.binary(max_size=70), st.integers(1, 200))
def test_a_key_goes_to_the_partition_that_aiokafka_chooses(key, partitions):
    assert murmur2(key) == aiokafka_murmur2(key) & 0xFFFFFFFF
    assert partition_of(key, partitions) == (aiokafka_murmur2(key) & 0x7FFFFFFF) % partitions


@pytest.mark.parametrize("name", ["support-bot", "a", "0", "-", "x" * 80])
def test_a_plain_workflow_name_is_its_own_slug(name):
    assert slug(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Support Bot", "support-bot-23a1ae54"),
        ("support_bot", "support-bot-bbccfd69"),
        ("support-bot\n", "support-bot-4b6b71c8"),
        ("\u65e5\u672c\u8a9e", "2f370c8e"),
        ("", "1271cf25"),
        ("x" * 81, "x" * 71 + "-8b9174e7"),
        ("\udcff", "14b0830a"),
    ],
)
def test_another_name_is_cleaned_and_told_apart_by_its_hash(name, expected):
    assert slug(name) == expected


@given(st.text(st.characters(codec=None), max_size=120))
def test_every_slug_fits_a_topic_name(name):
    assert re.fullmatch(r"[a-z0-9-]{1,80}", slug(name))


def test_names_that_clean_alike_keep_their_own_topics():
    names = [f"{first}upport{between}Bot{last}" for first in "sS" for between in " _-." for last in ("", " ", "!")]
    assert len({slug(name) for name in [*names, "support-bot"]}) == len(names) + 1


def test_the_topics_of_a_prefix():
    topics = Topics("acme")
    assert topics.events("bot") == "acme.events.bot"
    assert topics.sampled_of(topics.events("bot")) == "acme.sampled.bot"
    assert (topics.documents, topics.dead) == ("acme.documents", "acme.dead")
    assert (topics.all_events, topics.all_sampled) == ("acme.events.*", "acme.sampled.*")
    assert topics.group("sample") == "acme-sample"


def test_a_prefix_with_dots_in_it_is_cut_off_whole():
    topics = Topics("eu.events.acme")
    assert topics.sampled_of(topics.events("bot")) == "eu.events.acme.sampled.bot"


def test_overflow_topics_stay_what_they_were():
    topics = Topics("tailrace")
    shared = [topics.overflow(name) for name in ("a", "support-bot", "\u65e5\u672c\u8a9e", "")]
    assert shared == [f"tailrace.events.overflow-{number}" for number in (11, 9, 2, 14)]
    assert topics.sampled_of(shared[0]) == "tailrace.sampled.overflow-11"


def test_overflow_spreads_names_over_all_of_its_topics():
    topics = Topics("tailrace")
    shared = {topics.overflow(f"workflow-{number}") for number in range(400)}
    assert shared == {f"tailrace.events.overflow-{number}" for number in range(OVERFLOW_TOPICS)}
