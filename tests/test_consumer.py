from importlib.metadata import EntryPoint

import pytest

from tailrace import consumer
from tailrace.consumer import find_consumer, find_rebuild, find_replay, find_restore
from tailrace.errors import ConfigError


@pytest.mark.parametrize("name", ["sample", "aggregate", "index", "all"])
def test_each_stage_is_found_by_its_name(name):
    assert callable(find_consumer(name))


def test_the_operations_are_found_or_told_to_be_missing(monkeypatch):
    for find in (find_rebuild, find_replay, find_restore):
        assert callable(find())
    monkeypatch.setattr(consumer, "entry_points", lambda group: [])
    for find in (find_rebuild, find_replay, find_restore):
        with pytest.raises(ConfigError, match=r"no operation is named '(rebuild|replay|restore)'; installed: none$"):
            find()


def test_an_unknown_name_is_told_with_those_that_are_installed():
    with pytest.raises(ConfigError, match=r"no consumer is named 'sampel'; installed: aggregate, all, index, sample$"):
        find_consumer("sampel")


def test_without_any_installed_the_message_says_so(monkeypatch):
    monkeypatch.setattr(consumer, "entry_points", lambda group: [])
    with pytest.raises(ConfigError, match=r"installed: none$"):
        find_consumer("all")


def test_a_consumer_of_another_package_is_found(monkeypatch):
    ours = EntryPoint("mine", "tailrace_consumers.index:consumer", "tailrace.consumers")
    monkeypatch.setattr(consumer, "entry_points", lambda group: [ours] if group == "tailrace.consumers" else [])
    assert find_consumer("mine") is ours.load()
