import sys

import pytest

from tailrace.config import Config
from tailrace.errors import ConfigError, MissingExtraError
from tailrace.registry import open_store
from tailrace.store.opensearch.address import Address, parse


def test_a_url_without_options_is_plain_http_on_the_usual_port():
    assert parse("opensearch://localhost", "tailrace") == Address(
        [("localhost", 9200)], None, "", tls=False, verify=True, ca_certs=None, index_prefix="tailrace"
    )


def test_every_part_of_a_url_is_read():
    url = "elasticsearch://me:p%40:s%2F@a.example:9201,[::1],10.0.0.7:9300/?tls=true&verify=false&ca_certs=/c&index_prefix=x"
    assert parse(url, "Not_Used") == Address(
        [("a.example", 9201), ("::1", 9200), ("10.0.0.7", 9300)],
        "me",
        "p@:s/",
        tls=True,
        verify=False,
        ca_certs="/c",
        index_prefix="x",
    )


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("opensearch:", "it is written opensearch://"),
        ("opensearch://me:secret@", "it is written"),
        ("opensearch://host/path", "it is written"),
        ("opensearch://me:sec/ret@host", "percent-encoded"),
        ("opensearch://me:sec#ret@host", "percent-encoded"),
        ("opensearch://host:99999", "'host:99999' is not host:port"),
        ("opensearch://host:0", "is not host:port"),
        ("opensearch://a,,b", "'' is not host:port"),
        ("opensearch://host?veryfy=false", "unknown option 'veryfy'; did you mean verify"),
        ("opensearch://host?zzz=1", "unknown option 'zzz'; known: tls, verify"),
        ("opensearch://host?tls=yes", "tls takes true or false, not 'yes'"),
        ("opensearch://host?tls=true&tls=false", "given twice"),
        ("opensearch://host?verify=false", "go with tls=true"),
        ("opensearch://host?index_prefix=", "cannot begin an index name"),
        ("opensearch://host?index_prefix=-a*", "index_prefix=name"),
        ("opensearch://host?tls=true&ca_certs=/does/not/exist", "cannot be read"),
    ],
)
def test_a_url_that_cannot_be_read_is_a_config_error_with_the_fix(url, hint):
    with pytest.raises(ConfigError, match=hint) as caught:
        open_store(Config(store=url))
    assert "ret" not in str(caught.value)


def test_a_prefix_that_no_index_can_have_asks_for_another():
    with pytest.raises(ConfigError, match=r"'My_App' cannot begin.*\?index_prefix=name"):
        parse("opensearch://host", "My_App")


def test_an_address_shows_its_hosts_only():
    address = parse("opensearch://me:secret@a:1,b:2?index_prefix=x", "t")
    assert f"{address} {address!r}" == "a:1,b:2 a:1,b:2"


def test_without_the_client_library_the_extra_to_install_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("tailrace.store.opensearch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opensearchpy", None)
    with pytest.raises(MissingExtraError, match=r"tailrace\[opensearch\]"):
        open_store(Config(store="opensearch://host"))
