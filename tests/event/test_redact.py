"""Secrets never reach an encoded event; everything else does, byte for byte."""

import functools
import itertools
import json
import random
import signal
import subprocess
import sys
import threading
import traceback

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tailrace
from tailrace.config import RedactSettings
from tailrace.errors import ConfigError
from tailrace.event.redact import Redactor
from tailrace.event.redact.shapes import SHAPES
from tests.event import corpus
from tests.logger.conftest import documents, spooled

encode = msgspec.json.encode
TOKENS = corpus.tokens()
ASSIGNMENTS = corpus.assignments()


def no_warning(line):
    raise AssertionError(line)


def redactor(**settings):
    return Redactor(RedactSettings(**settings), no_warning)


@functools.cache
def builtin():
    return redactor()


def redacted(data, **settings):
    return msgspec.json.decode((redactor(**settings) if settings else builtin()).redact(encode(data)))


@pytest.fixture
def without_hyperscan(monkeypatch):
    """As on a platform for which hyperscan has no wheel."""
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    monkeypatch.delitem(sys.modules, "tailrace.event.redact.scan", raising=False)
    monkeypatch.delitem(sys.modules, "tailrace.event.redact.own", raising=False)
    monkeypatch.delattr("tailrace.event.redact.scan", raising=False)


def raised(secret):
    try:
        raise ValueError(f"no access with {secret} there")
    except ValueError:
        return traceback.format_exc()


PLACES = {
    "value": lambda secret: {"input_data": secret},
    "nested": lambda secret: {"fields": {"a": [{"b": [[secret]]}]}},
    "key": lambda secret: {"fields": {secret: 1}},
    "log line": lambda secret: {"message": f"calling with {secret}, again"},
    "second line": lambda secret: {"message": f"first\n{secret}\tand more"},
    "traceback": lambda secret: {"exception": {"type": "ValueError", "traceback": raised(secret)}},
    "repr": lambda secret: {"message": repr({"a": secret})},
    "JSON": lambda secret: {"input_data": json.dumps({"a": [secret]})},
    "JSON in JSON": lambda secret: {"input_data": json.dumps({"b": json.dumps({"a": f"x\n{secret}"})})},
    "query": lambda secret: {"input_data": f"https://example.org/?a=1&b={secret}&c=2"},
    "percent-encoded query": lambda secret: {"input_data": f"next=%2Fa%3Fkey%3D{secret}%26b%3D1"},
    "terminal": lambda secret: {"output_data": f"\x1b[31m{secret}\x1b[0m"},
}


def core(name, secret):
    """The part that must not be seen: schemes, hosts and first lines may."""
    if name == "url_password":
        return secret.split("://")[1].split("@")[0].split(":")[1]
    if name == "private_key":
        return secret.split("\n")[2]
    return secret.split()[-1].split("/")[-1]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("name", "secret"), TOKENS, ids=[f"{name}{n}" for n, (name, _) in enumerate(TOKENS)])
def test_a_secret_is_masked_by_its_form_wherever_it_stands(name, secret, place):
    masked = builtin().redact(encode(PLACES[place](secret)))
    assert core(name, secret).encode() not in masked
    assert f"[redacted:{name}]".encode() in masked


@pytest.mark.parametrize(
    "wrap", [str, lambda text: json.dumps({"a": text}), lambda text: json.dumps(json.dumps([text]))]
)
@pytest.mark.parametrize(("text", "secret"), ASSIGNMENTS)
def test_a_text_that_gives_a_secret_to_a_name_is_masked_there(text, secret, wrap):
    masked = redacted({"message": wrap(text)})["message"]
    assert secret not in masked
    assert "[redacted]" in masked


def test_each_shape_is_tried():
    forms = [shape.name for shape in SHAPES]
    assert {name for name, _ in TOKENS} == set(forms)
    assert len(TOKENS) > len(forms)


def test_the_corpus_has_two_hundred_secrets_and_more():
    assert len(TOKENS) * len(PLACES) + len(ASSIGNMENTS) * 3 > 400
    assert len(corpus.look_alikes()) + len(corpus.INNOCENT_KEYS) > 80


def test_what_follows_a_masked_value_stays():
    assert redacted({"a": json.dumps({"password": 'x"\\', "user": "ann"})}) == {
        "a": json.dumps({"password": "[redacted]", "user": "ann"})
    }
    assert redacted({"a": "?token=abc&page=2"}) == {"a": "?token=[redacted]&page=2"}
    assert redacted({"a": "Password=abc;Encrypt=yes"}) == {"a": "Password=[redacted];Encrypt=yes"}
    assert redacted({"a": "<token>abc</token>"}) == {"a": "<token>[redacted]</token>"}
    assert redacted({"a": "postgres://ann:p@ss@host/db"}) == {"a": "postgres://ann:[redacted:url_password]@host/db"}


@pytest.mark.parametrize("key", corpus.SECRET_KEYS)
def test_the_whole_value_of_a_secret_like_key_is_masked(key):
    for value in ("plain words", 12345, 1.5, 0, ["a", "b"], {"user": "ann", "word": "b"}):
        assert redacted({"fields": {key: value}}) == {"fields": {key: "[redacted]"}}


@pytest.mark.parametrize("key", ["password", "apiKey", "token"])
def test_whether_there_is_a_secret_is_none(key):
    for value in (None, True, False, "", [], {}):
        assert redacted({"fields": {key: value, "secret": "x"}}) == {"fields": {key: value, "secret": "[redacted]"}}


@pytest.mark.parametrize("key", corpus.INNOCENT_KEYS)
def test_a_key_that_only_looks_like_one_keeps_its_value(key):
    data = encode({"fields": {key: "plain words", key.upper(): 12}})
    assert builtin().redact(data) is data


@pytest.mark.parametrize("text", corpus.look_alikes(), ids=itertools.count())
def test_a_text_that_only_looks_like_a_secret_is_untouched(text):
    for data in (encode({"message": text}), encode({"fields": {text: [text]}}), encode({"a": json.dumps({"b": text})})):
        assert builtin().redact(data) is data


def test_what_stands_beside_a_secret_is_untouched():
    others = {
        "id": "0192f0c1d2e37abc8123456789abcdef",
        "numbers": [1, -2.5, 1e300, 0.1, 9007199254740993, True, None],
        "texts": [text for text in corpus.look_alikes() if len(text) < 200],
        "deep": {"a": {"b": [{"c": {}}, []]}},
    }
    assert redacted({"before": others, "password": "x", "after": others}) == {
        "before": others,
        "password": "[redacted]",
        "after": others,
    }


def test_an_agents_name_is_no_payload():
    name = TOKENS[0][1]
    assert redacted({"agent_name": name, "input_data": name}) == {
        "input_data": "[redacted:anthropic]",
        "agent_name": name,
    }


def test_keys_that_become_equal_are_kept_apart():
    first, second = TOKENS[0][1], TOKENS[0][1] + "x"
    assert sorted(redacted({"fields": {first: 1, second: 2}})["fields"].values()) == [1, 2]


def test_masking_what_is_masked_changes_nothing():
    for data in (*({"a": text} for text, _ in ASSIGNMENTS), *({"a": secret} for _, secret in TOKENS)):
        once = builtin().redact(encode(data))
        assert builtin().redact(once) == once


def test_deep_nesting_is_masked_to_the_bottom():
    data = TOKENS[0][1]
    for _ in range(300):
        data = [{"a": data}]
    assert TOKENS[0][1].encode() not in builtin().redact(encode({"input_data": data}))


FRAGMENTS = (
    [secret for _, secret in TOKENS]
    + [text for text, _ in ASSIGNMENTS]
    + [text for text in corpus.look_alikes() if len(text) < 200]
    + [
        "\n",
        "\\n",
        '"',
        '\\"',
        "'",
        " ",
        ": ",
        "=",
        "%20",
        "\x1b[1m",
        "é",
        "{",
        "}",
        "[",
        "]",
        "password",
        "token",
        "x",
    ]
)
MIXTURES = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=6).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.recursive(MIXTURES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MIXTURES, inner, max_size=3)))
def test_the_pass_over_the_bytes_misses_nothing_that_the_exact_way_finds(value):
    data = encode({"input_data": value})
    everything = redactor()
    everything._scanner = None
    assert builtin().redact(data) == everything.redact(data)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.text("abcxyz_ .", max_size=8),
        st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**53), 2**53),
    )
)
def test_a_payload_without_secrets_comes_back_byte_for_byte(fields):
    data = encode({"fields": fields})
    assert builtin().redact(data) is data or b"[redacted" in builtin().redact(data)


@pytest.mark.parametrize(
    "unit",
    [
        "sk-",
        "sk-a",
        "eyJ",
        "eyJaaaaaaaaaaa.",
        "password",
        "password:",
        "password=(",
        'password="',
        "password: [",
        "cookie: a=b;",
        "Bearer ",
        "://a:",
        "://:",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n" + "A" * 16,
        "SG.aaaaaaaaaaaaaaaaaaaa.",
        *("\\", '"', "\n", " ", "[", "a", "é", "token: str ", "<password>"),
    ],
)
@pytest.mark.timeout(30)  # takes about 0.3 s when alone on the machine, and one of quadratic time minutes
def test_a_hostile_megabyte_takes_no_longer_than_its_length(unit):
    body = (unit * (1_000_000 // len(unit)))[:1_000_000]
    secrets = [secret for _, secret in TOKENS]
    for text in (body, f"password: {body} {secrets[1]}", f"{' '.join(secrets)} {body}("):
        masked = builtin().redact(encode({"input_data": text})).decode()
        assert not any(secret in masked for secret in secrets)


def test_of_a_text_with_more_than_ten_thousand_keys_the_rest_is_masked():
    masked = redacted({"a": "max_length: 7 token=abc, " * 10_001 + "the end"})["a"]
    assert masked == "max_length: 7 token=[redacted], " * 10_000 + "max_length: 7 [redacted]"


class TestOwn:
    def test_an_own_pattern_is_masked_by_its_name(self):
        own = {"employee": r"EMP-\d{4,}", "ort": "Straße [0-9]+"}
        assert redacted({"a": "by EMP-123456, Straße 12; EMP-12"}, patterns=own) == {
            "a": "by [redacted:employee], [redacted:ort]; EMP-12"
        }

    @pytest.mark.parametrize(
        ("pattern", "text"),
        [
            ("^EMP$", "EMP"),
            (r"\bEMP-\d", "first\nEMP-1"),
            ('say "\\w+"', 'to say "friend" here'),
            ("a\nb", "a\nb"),
            (r"a\\b", r"a\b"),
        ],
    )
    def test_an_own_pattern_sees_the_text_and_not_its_escapes(self, pattern, text):
        assert "[redacted:own]" in redacted({"a": text}, patterns={"own": pattern})["a"]

    def test_an_own_pattern_sees_keys_too(self):
        assert redacted({"a": {"EMP-1": 1}}, patterns={"own": r"EMP-\d"}) == {"a": {"[redacted:own]": 1}}

    def test_an_own_pattern_beside_built_in_ones(self):
        secret = TOKENS[0][1]
        assert redacted({"a": f"EMP-1 {secret} password=x"}, patterns={"own": r"EMP-\d"}) == {
            "a": "[redacted:own] [redacted:anthropic] password=[redacted]"
        }

    @pytest.mark.parametrize("bad", ["(", "(?=a)b", r"(a)\1", "a*", ""])
    def test_an_own_pattern_that_cannot_run_in_bounded_time_is_refused_by_name(self, bad):
        with pytest.raises(ConfigError, match=r"redact\.patterns\.mine"):
            redactor(patterns={"mine": bad})

    @pytest.mark.timeout(30)
    def test_no_own_pattern_can_hang_the_caller(self):
        hostile = redactor(patterns={"redos": "(a+)+b", "many": "[ac]"})
        assert hostile.redact(encode({"x": "a" * 1_000_000})) == encode({"x": "[redacted:many]"})

    @pytest.mark.parametrize(
        "written", ["cardNumber", "card_number", "Card Number", "CARD-NUMBER", "user.card_number", "cardNumbers"]
    )
    def test_an_own_key_is_masked_in_any_spelling(self, written):
        assert redacted({"fields": {written: 4111}}, keys=["card_number"]) == {"fields": {written: "[redacted]"}}
        assert redacted({"fields": {written: 4111}}) == {"fields": {written: 4111}}

    def test_an_own_key_is_masked_in_texts(self):
        assert redacted({"a": "ssn=123-45-6789&x=1"}, keys=["ssn"]) == {"a": "ssn=[redacted]&x=1"}

    def test_an_own_key_may_be_of_any_script(self):
        assert redacted({"fields": {"Пароль": "x"}}, keys=["пароль"]) == {"fields": {"Пароль": "[redacted]"}}

    def test_an_own_key_that_ends_in_a_word_of_description_is_masked(self):
        assert redacted({"fields": {"payment_id": 7}}, keys=["payment_id"]) == {"fields": {"payment_id": "[redacted]"}}

    def test_an_own_key_without_a_letter_is_refused(self):
        with pytest.raises(ConfigError, match=r"redact\.keys"):
            redactor(keys=["--"])


class TestWithoutHyperscan:
    def test_everything_is_masked_all_the_same_and_one_warning_says_why(self, without_hyperscan):
        warnings = []
        slow = Redactor(RedactSettings(), warnings.append)
        assert len(warnings) == 1
        assert "hyperscan" in warnings[0]
        for data in (*({"a": text} for text, _ in ASSIGNMENTS), *({"a": secret} for _, secret in TOKENS)):
            assert slow.redact(encode(data)) == builtin().redact(encode(data)) != encode(data)

    def test_own_patterns_are_refused(self, without_hyperscan):
        with pytest.raises(ConfigError, match="hyperscan"):
            Redactor(RedactSettings(patterns={"own": "a"}), no_warning)


def test_eight_threads_and_a_signal_handler_mask_at_once():
    own = redactor(patterns={"own": r"EMP-\d+"})
    cases = [(encode({"a": f"EMP-1 {text}"}), own.redact(encode({"a": f"EMP-1 {text}"}))) for text in FRAGMENTS]
    wrong = []

    def work(seed):
        shuffled = random.Random(seed).sample(cases, len(cases))
        wrong.extend(data for data, expected in shuffled * 5 if own.redact(data) != expected)

    def interrupt(*_):
        wrong.extend(data for data, expected in cases[:3] if own.redact(data) != expected)
        signal.setitimer(signal.ITIMER_REAL, 0.001)  # once it is done: on a busy machine it may take longer than that

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        work(8)
        for thread in threads:
            thread.join()
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # one may be on its way
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert wrong == []


def test_a_forked_child_masks_while_the_parents_threads_do():
    script = """
import os, threading
import msgspec
from tailrace.config import RedactSettings
from tailrace.event.redact import Redactor
redact = Redactor(RedactSettings(), print).redact
data = msgspec.json.encode({"password": "x", "text": "a" * 20_000})
def work():
    while not done:
        redact(data)
done = False
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        os._exit(0 if b"[redacted]" in redact(data) else 1)
    assert os.waitpid(child, 0)[1] == 0
done = True
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


class TestLogged:
    """Through the logger, to the bytes on the spool."""

    def test_no_secret_reaches_the_spool(self, log):
        secret = TOKENS[0][1]
        with log.run(session=secret, tags=[secret], api_key="plain-words") as run:
            line = f"calling with {secret}"
            log.info(line, password="plain-words")
            log.log_action(
                "call", input_data={"authorization": "plain-words"}, output_data=[secret], model="m", tokens=12
            )
            log.add_resource(f"https://user:{secret}@example.org/x")
            try:
                raise ValueError(f"refused: {secret}")
            except ValueError as error:
                log.log_error(f"boom {secret}", exc=error)
        written = b"".join(path.read_bytes() for path in spool_files())
        assert run.run_id.encode() in written
        assert secret.encode() not in written
        assert b"plain-words" not in written
        (document,) = documents()
        assert document["tokens"]["total"] == 12

    def test_ids_and_names_are_never_masked_whatever_they_are(self, log):
        name = "sk-" + "ant-api03-" + "a1" * 20
        other = tailrace.get_logger(name)
        with other.run(secret="plain") as run, run.iteration() as iteration, iteration.interaction(name, input="x"):
            other.info("x", password="plain")
        events = spooled()
        assert {event.workflow for event in events} == {name}
        assert {event.run for event in events} == {run.run_id}
        assert {event.agent for event in events} == {"", name}
        assert [event.seq for event in events] == [*range(len(events))]
        (document,) = documents()
        assert document["iterations"][0]["interactions"][0]["agent_name"] == name
        assert "plain" not in json.dumps(document)

    def test_an_own_pattern_is_checked_when_the_logger_is_configured(self, log):
        with pytest.raises(ConfigError, match=r"redact\.patterns\.mine"):
            tailrace.configure_logger(redact={"patterns": {"mine": "("}})

    def test_it_can_be_switched_off(self, log):
        tailrace.configure_logger(publish="external", redact={"enabled": False}).info("password=plain")
        assert b"password=plain" in bytes(spooled()[-1].data)

    def test_a_secret_is_masked_before_a_large_value_is_cut(self, log):
        log.log_action("a", input_data={"x": "a" * 970 + " " + TOKENS[0][1] + " b" * 500_000})
        (*_, event) = spooled()
        assert b"$truncated" in bytes(event.data)
        assert b"sk-" not in bytes(event.data)

    def test_masks_that_make_an_event_too_large_are_cut_too(self, log):
        log.info("x", many=[{"pwd": 1}] * 90_000)
        (*_, event) = spooled()
        assert len(event.data) < 900_000

    @pytest.mark.parametrize("step", ["_search", "_mask"])
    def test_a_payload_that_cannot_be_searched_is_left_out_and_counted(self, log, monkeypatch, capsys, step):
        def fail(data, *_):
            if b"plain" not in data:
                return []
            raise UnicodeDecodeError("utf-8", data, 0, 1, "made up")

        log.info("before")
        recorder = tailrace.logger.state.recorder()
        monkeypatch.setattr(recorder, step, fail)
        log.start_interaction("planner", input_data="password=plain")
        log.finalize()
        assert log.stats().redaction_failed == 1
        assert log.stats().accepted == log.stats().calls == 4
        assert b"plain" not in b"".join(path.read_bytes() for path in spool_files())
        assert "plain" not in capsys.readouterr().err
        (document,) = documents()
        assert document["integrity"]["complete"]


def spool_files():
    from pathlib import Path

    return [path for path in Path(".tailrace").rglob("*") if path.is_file()]
