from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.urls import Parts, split

words = st.text(alphabet="abc.:@,-%=&", max_size=8)


@given(st.sampled_from(["kafka", "opensearch"]), words, st.just("") | words.map("/{}".format), words, words)
def test_a_url_is_split_as_pythons_own_does(scheme, authority, path, query, fragment):
    url = f"{scheme}://{authority}{path}?{query}#{fragment}"
    theirs = urlsplit(url)
    assert split(url) == Parts(theirs.netloc, theirs.path, theirs.query, theirs.fragment)


def test_hosts_may_be_addresses_of_version_6():
    assert split("kafka://one,[::1]:99,[fe80::2]?a=b") == Parts("one,[::1]:99,[fe80::2]", "", "a=b", "")


@pytest.mark.parametrize("url", ["", "kafka:", "kafka:one", "//one", "://one", "one"])
def test_what_has_no_scheme_or_authority_has_no_parts(url):
    assert split(url) == Parts("", "", "", "")
