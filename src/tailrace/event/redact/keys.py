"""Which key names say that their value is a secret.

Names are compared as words: `dbPassword`, `DB_PASSWORD` and `db.password` are one name. A secret's name that goes on to
a word of description (`api_key_id`, `password_length`) names something else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from tailrace.errors import ConfigError

# `_` stands for any separator or none.
_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secret_key",
    "api_key",
    "access_key",
    "account_key",
    "auth_key",
    "encryption_key",
    "private_key",
    "signing_key",
    "authorization",
    "cookie",
    "credential",
    "connection_string",
)
_COMPOUNDS = "[a-z]*(?:password|passwd|secret|api_?key)"
"""Also at the end of a longer word: `pgpassword`, `clientsecret`."""

_DESCRIBES = """
    age arn attempt attempts count created date enabled endpoint error errors exists expires expiry field file id ids
    index label len length limit location max min name names param path policy prompt provider ref required rotation
    rules set size source status strength ttl type uri url usage valid version
"""

# LLMs made `token` a unit: only a key that ends in it names a secret, and not after one of these words.
_TOKEN = "(?:(?:^|_)(?P<before>[a-z]+)_|^|_|(?:access|api|auth|bearer|bot|csrf|refresh|session))token[0-9]*$"  # noqa: S105
_TEXT_UNITS = """
    bos cls continuation each end eos first last mask max min next pad page per prev previous sep special start stop
    unk
"""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[\W_]+")
_MAX_KEY = 200


class SecretKeys:
    """The built-in names and those of the settings.

    Raises:
        ConfigError: a name of the settings has neither a letter nor a digit.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        names = [re.escape(name) for name in (*_NAMES, *map(_own_words, own))]
        self._secret = re.compile(f"(?:^|_)(?:{_COMPOUNDS}|{_any(names, '_?')})s?[0-9]*(?=_|$)")
        self._token = re.compile(_TOKEN)
        self._describes = frozenset(_DESCRIBES.split())
        self._text_units = frozenset(_TEXT_UNITS.split())
        space = r"(?:\s|\\{1,16}[nrt]){0,4}"
        self.expression = (
            rf"(?:(?:{_any(names, '[-_. ]?')})[a-z0-9_.()\[\]-]{{0,40}}|token[0-9]{{0,3}})"
            rf"{space}\\*[\"'`]?{space}(?:[:=]?[=>]|:)"
        )
        """In lower case, in what `re` and hyperscan have in common: finds, beside others, each such key in a text up
        to the sign before its value, also in JSON's escapes."""
        # What the pass over the bytes does not find must not be found later: every event is masked alike.
        self._ends = re.compile(f"(?i:{self.expression})$")
        self.names_a_secret = functools.lru_cache(maxsize=1024)(self._names_a_secret)
        """Whether the value of a key is to be masked. Texts that stand as keys are not names."""

    def _names_a_secret(self, key: str) -> bool:
        if len(key) > _MAX_KEY or not self._ends.search(key.rstrip(":=") + '":'):
            return False
        words = _words(key)
        secret = self._secret.search(words)
        if secret is not None:
            return words[secret.end() :].rpartition("_")[2] not in self._describes
        token = self._token.search(words)
        return token is not None and token["before"] not in self._text_units


def _any(names: Iterable[str], separator: str) -> str:
    return "|".join(name.replace("_", separator) for name in names)


def _own_words(key: str) -> str:
    words = _words(key)
    if not words:
        raise ConfigError(f"setting 'redact.keys' is not valid: {key!r} has no letter or digit; give the name of a key")
    return words


def _words(key: str) -> str:
    return _SEPARATORS.sub("_", _CAMEL.sub("_", key)).strip("_").lower()
