import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.config import Config, load, load_with_origins
from tailrace.errors import ConfigError


@pytest.fixture
def settings(tmp_path):
    """Loads from this test's directory and from the environment given."""

    def settings(overrides=None, *, own=None, project=None, **environ):
        if own is not None:
            (tmp_path / "tailrace.toml").write_text(own)
        if project is not None:
            (tmp_path / "pyproject.toml").write_text(project)
        return load_with_origins(overrides, environ=environ, directory=tmp_path)

    return settings


def test_without_any_setting_the_defaults_stand(settings):
    loaded = settings()
    assert loaded.config == Config()
    assert loaded.origins == {}
    assert loaded.config.bus_url == loaded.config.store_url == "sqlite:///.tailrace/tailrace.db"
    assert str(loaded.config.spool_path) == ".tailrace/spool"


def test_paths_follow_home_unless_they_are_given(settings):
    config = settings({"home": "data"}).config
    assert config.bus_url == "sqlite:///data/tailrace.db"
    assert str(config.spool_path) == "data/spool"
    config = settings({"home": "data", "bus": "memory:", "spool": {"directory": "elsewhere"}}).config
    assert config.bus_url == "memory:"
    assert config.store_url == "sqlite:///data/tailrace.db"
    assert str(config.spool_path) == "elsewhere"


LAYERS = {
    "project": '[tool.tailrace]\nworkflow_name = "project"',
    "own": 'workflow_name = "own"',
    "TAILRACE_WORKFLOW_NAME": "environment",
}


@pytest.mark.parametrize(("layers", "expected"), [(0, "default"), (1, "project"), (2, "own"), (3, "environment")])
def test_each_layer_is_stronger_than_those_before_it(settings, layers, expected):
    given = dict(list(LAYERS.items())[:layers])
    assert settings(**given).config.workflow_name == expected
    assert settings({"workflow_name": "argument"}, **given).config.workflow_name == "argument"


def test_layers_merge_setting_by_setting_also_inside_a_table(settings, tmp_path):
    loaded = settings(
        {"spool": {"directory": "there"}},
        project="[tool.tailrace.spool]\nmax_bytes=1\nmax_event_bytes=5000\nsegment_bytes=5000\ndirectory='here'",
        own="[spool]\nmax_event_bytes = 6000\nsegment_bytes = 6000",
        TAILRACE_SPOOL__SEGMENT_BYTES="7000",
    )
    spool = loaded.config.spool
    assert (spool.max_bytes, spool.max_event_bytes, spool.segment_bytes, spool.directory) == (1, 6000, 7000, "there")
    assert loaded.origins == {
        "spool.max_bytes": f"{tmp_path / 'pyproject.toml'} [tool.tailrace]",
        "spool.max_event_bytes": str(tmp_path / "tailrace.toml"),
        "spool.segment_bytes": "environment variable TAILRACE_SPOOL__SEGMENT_BYTES",
        "spool.directory": "configure_logger(...)",
    }


def test_an_argument_that_is_none_was_not_given(settings):
    loaded = settings({"bus": None, "workflow_name": None}, TAILRACE_BUS="memory:")
    assert loaded.config.bus == "memory:"
    assert loaded.config.workflow_name == "default"
    assert "workflow_name" not in loaded.origins


def test_the_process_s_own_environment_and_directory_are_read(monkeypatch, tmp_path):
    (tmp_path / "tailrace.toml").write_text('prefix = "mine"')
    monkeypatch.setenv("TAILRACE_TOPICS__PARTITIONS", "3")
    config = load({"verbosity": "DEBUG"})
    assert (config.prefix, config.topics.partitions, config.verbosity) == ("mine", 3, "DEBUG")


def test_a_working_directory_that_is_gone_has_no_files(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert load() == Config()


def test_the_test_suite_s_own_variables_and_those_of_others_are_no_settings(settings):
    assert settings(TAILRACE_TEST_KAFKA="kafka://h", TAIL="x", tailrace_bus="x", OTHER="y").config == Config()


@pytest.mark.parametrize(
    ("given", "key", "source", "fix"),
    [
        ({"TAILRACE_BUSS": "memory:"}, "buss", "environment variable TAILRACE_BUSS", "did you mean 'bus'?"),
        (
            {"TAILRACE_SPOOL__MAX_BYTE": "5"},
            "spool.max_byte",
            "environment variable TAILRACE_SPOOL__MAX_BYTE",
            "did you mean 'spool.max_bytes'?",
        ),
        ({"own": "[topcs]\npartitions = 1"}, "topcs", "tailrace.toml", "did you mean 'topics'?"),
        ({"project": "[tool.tailrace]\nxyzzy = 1"}, "xyzzy", "[tool.tailrace]", "known keys: aggregate, bus, "),
        ({"overrides": {"verbose": 1}}, "verbose", "configure_logger(...)", "did you mean 'verbosity'?"),
        ({"overrides": {"spool": {1: 2}}}, "spool.1", "configure_logger(...)", "known keys: directory"),
        ({"TAILRACE_": "5"}, "", "environment variable TAILRACE_", "known keys"),
        (
            {"own": "[[sample.policies]]\nrate = 1\n[[sample.policies]]\nwhen = {any = [{not = {eror = true}}]}"},
            "sample.policies[1].when.any[0].not.eror",
            "tailrace.toml",
            "did you mean 'sample.policies[1].when.any[0].not.errors'?",
        ),
    ],
)
def test_an_unknown_setting_is_named_with_its_source_and_the_nearest_one(settings, given, key, source, fix):
    with pytest.raises(ConfigError) as raised:
        settings(**given)
    message = str(raised.value)
    assert message.startswith(f"unknown setting {key!r} in ")
    assert source in message
    assert fix in message


@pytest.mark.parametrize(
    ("given", "key", "source"),
    [
        (
            {"TAILRACE_TOPICS__PARTITIONS": "many"},
            "topics.partitions",
            "environment variable TAILRACE_TOPICS__PARTITIONS",
        ),
        ({"TAILRACE_SPOOL": "big"}, "spool", "environment variable TAILRACE_SPOOL"),
        (
            {"TAILRACE_SPOOL__MAX_BYTES__KILO": "1"},
            "spool.max_bytes",
            "environment variable TAILRACE_SPOOL__MAX_BYTES__KILO",
        ),
        ({"own": "verbosity = 'LOUD'"}, "verbosity", "tailrace.toml"),
        ({"own": "[spool]\nmax_bytes = true"}, "spool.max_bytes", "tailrace.toml"),
        ({"own": "[redact]\nkeys = [1]"}, "redact.keys[0]", "tailrace.toml"),
        ({"own": "[[sample.policies]]\nrate = 'x'"}, "sample.policies[0].rate", "tailrace.toml"),
        ({"own": "[[sample.policies]]\nwhen = 1"}, "sample.policies[0].when", "tailrace.toml"),
        ({"own": "[sample]\npolicies = 1"}, "sample.policies", "tailrace.toml"),
        ({"own": "[redact.patterns]\nname = 1"}, "redact.patterns[...]", "tailrace.toml"),
        ({"project": "[tool.tailrace]\nworkflow_name = 7"}, "workflow_name", "[tool.tailrace]"),
        ({"overrides": {"bus": object()}}, "bus", "configure_logger(...)"),
    ],
)
def test_a_value_of_a_wrong_type_is_named_with_its_source(settings, given, key, source):
    with pytest.raises(ConfigError) as raised:
        settings(**given)
    message = str(raised.value)
    assert message.startswith(f"setting {key!r} from ")
    assert source in message


RANGES = [
    ("workflow_name", "", None),
    ("prefix", "", "x"),
    ("prefix", "a/b", "A.b_c-1"),
    ("prefix", "p" * 81, "p" * 80),
    ("exit_timeout", -0.1, 0),
    ("exit_timeout", "inf", 86_400),
    ("topics.partitions", 0, 1),
    ("topics.partitions", 10_001, 10_000),
    ("topics.replication", 0, 1),
    ("topics.replication", 1_001, 1_000),
    ("topics.retention_hours", 0, 0.001),
    ("topics.retention_hours", 1_000_001, 1_000_000),
    ("topics.max_topics", 0, 1),
    ("spool.segment_bytes", 4095, 4096),
    ("spool.max_bytes", -1, 0),
    ("spool.max_event_bytes", 1023, 1024),
    ("spool.max_event_bytes", 1_000_001, 1_000_000),
    ("sample.rate", -0.01, 0),
    ("sample.rate", 1.01, 1),
    ("sample.rate", "nan", 0.5),
    ("sample.decision_wait", -1, 0),
    ("sample.grace", "inf", 0),
    ("sample.max_held_bytes", -1, 0),
    ("aggregate.live_after", -1, 0),
    ("aggregate.abandon_after", "nan", 0),
    ("aggregate.max_held_bytes", -1, 0),
    ("propagation.max_bytes", -1, 0),
]


@pytest.mark.parametrize(("key", "wrong", "right"), RANGES)
def test_a_value_out_of_range_is_named_with_its_source_and_the_range(settings, key, wrong, right):
    name = f"TAILRACE_{key.upper().replace('.', '__')}"
    if right is not None:
        settings(**{name: str(right)})
    with pytest.raises(ConfigError) as raised:
        settings(**{name: str(wrong)})
    assert str(raised.value).startswith(f"setting {key!r} from environment variable {name} is out of range; it takes ")


@pytest.mark.parametrize(
    ("policy", "key", "takes"),
    [
        ("rate = 2", ".rate", "a number from 0 to 1"),
        ("rate = nan", ".rate", "a number from 0 to 1"),
        ("runs_per_second = 0", ".runs_per_second", "a number over 0"),
        ("bytes_per_second = inf", ".bytes_per_second", "a number over 0"),
        ("rate = 1\nruns_per_second = 1", "", "one of rate, runs_per_second, not several"),
        ("adaptive_by = ['status']", ".adaptive_by", "a rate over 0 beside it"),
        ("when = {slower_than = -1}", ".when.slower_than", "0 or more"),
        ("when = {any = [{all = [{not = {cost_over = -1}}]}]}", ".when.any[0].all[0].not.cost_over", "0 or more"),
        ("when = {custom = ''}", ".when.custom", "`package.module:function`"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_named_with_what_it_takes(settings, policy, key, takes):
    with pytest.raises(ConfigError) as raised:
        settings(own=f"[[sample.policies]]\n{policy}")
    assert str(raised.value).startswith(f"setting 'sample.policies[0]{key}' from ")
    assert "tailrace.toml is out of range; it takes " + takes in str(raised.value)


@pytest.mark.parametrize(
    "text", [b"bus = ", b"bus = 1\nbus = 2", b"\xff", b"a = " + b"[" * 3_000, b"[spool]\nmax_bytes = 1\n[spool]"]
)
def test_a_toml_file_that_cannot_be_read_is_named(settings, tmp_path, text):
    (tmp_path / "tailrace.toml").write_bytes(text)
    with pytest.raises(ConfigError, match=r"tailrace\.toml cannot be read: "):
        settings()


@pytest.mark.parametrize("text", ["[tool]\ntailrace = 3", "[[tool.tailrace]]\nbus = 'memory:'"])
def test_settings_in_pyproject_are_a_table(settings, text):
    with pytest.raises(ConfigError, match=r"\[tool\.tailrace\] is not a table"):
        settings(project=text)


def test_a_pyproject_without_our_table_is_no_layer(settings):
    assert settings(project="tool = 3").config == Config()
    assert settings(project="[tool.other]\nbus = 1").origins == {}


def test_a_value_that_is_not_unicode_is_refused_where_text_is_read_and_kept_where_a_path_is(settings):
    value = os.fsdecode(b"/tmp/\xff")
    assert settings(TAILRACE_LOGS_DIR=value).config.logs_dir == value
    with pytest.raises(ConfigError, match="not Unicode text"):
        settings(TAILRACE_EXIT_TIMEOUT=value)


NAMES = [
    *("", "SPOOL", "SPOOL__MAX_BYTES", "SPOOL__MAX_BYTES__X", "TOPICS__PARTITIONS", "SAMPLE__RATE", "VERBOSITY"),
    *("SPOOL__", "__", "___SPOOL", "WORKFLOW_NAME", "EXIT_TIMEOUT", "REDACT__KEYS", "REDACT__PATTERNS__A", "REDACT"),
    *("SAMPLE__KEEP_ERRORS", "NO_SUCH", "LOGS_DIR", "TEST_X", "AGGREGATE__LIVE_AFTER", "PUBLISH"),
]
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.binary()
texts = st.sampled_from(["", "1", "-1", "1e400", "nan", "null", "true", "1" * 5_000, "{}", "\udcff"]) | st.text()


@given(
    st.dictionaries(st.sampled_from(NAMES).map(lambda name: f"TAILRACE_{name}"), texts, max_size=4),
    st.dictionaries(
        st.sampled_from([*Config.__struct_fields__, "no_such"]),
        st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner)),
        max_size=3,
    ),
)
def test_no_input_gives_another_exception_than_ours(tmp_path_factory, environ, overrides):
    try:
        loaded = load_with_origins(overrides, environ=environ, directory=tmp_path_factory.getbasetemp())
    except ConfigError:
        return
    assert isinstance(loaded.config, Config)
