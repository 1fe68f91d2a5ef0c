"""What secrets look like by themselves: the tokens of the known vendors, and forms that hold a secret.

Each shape is written once, in what `re` and hyperscan have in common. `expression` finds every such text, also in
JSON's escapes; `mask` minds what stands beside it. No shape takes more than linear time: what repeats without bound
either ends in no condition, or begins only where a word does.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

_WORD = "[A-Za-z0-9_-]"
_ESCAPES = (r"\\[bfnrt]", r"\\u[0-9A-Fa-f]{4}", "%[0-9A-Fa-f]{2}", r"[;\[][0-9]m", r"[;\[][0-9][0-9]m")
"""What ends in a letter or digit but does not belong to the word after it: JSON, URL and terminal escapes."""

Match = re.Match[bytes]


class Shape:
    """`name` is what stands in the mask; `start` has a fixed width."""

    def __init__(
        self,
        name: str,
        start: str,
        rest: str,
        *,
        letters: str = "A-Za-z0-9",
        after: str = "(?![A-Za-z0-9])",
        is_common: bool = False,
        holds: Callable[[Match], bool] = lambda _: True,
    ) -> None:
        """`letters`: what before the start makes it the middle of a word. `holds`: a last look at a match.

        `is_common`: words that are no secrets have this form in their middle, so that hyperscan looks at what is
        before the start as well, which makes compiling slower.
        """
        self.name = name
        before = "|".join(("^", f"[^{letters}]", *_ESCAPES))
        self.expression = f"(?:{before}){start}{rest}" if is_common else start + rest
        looks = [f"(?<![{letters}]{start})", *(f"(?<={escape}{start})" for escape in _ESCAPES)] if letters else [""]
        # The look behind comes after the start: `re` finds literal beginnings ten times as fast.
        self._exact = re.compile(f"{start}(?:{'|'.join(looks)}){rest}{after}".encode())
        self._mask = f"[redacted:{name}]".encode()
        self._holds = holds

    def mask(self, text: bytes) -> bytes:
        """`text` with each such secret replaced; of a match with a group, the group alone."""
        return self._exact.sub(self._masked, text)

    def _masked(self, match: Match) -> bytes:
        if not self._holds(match):
            return match[0]
        if not match.re.groups:
            return self._mask
        start, end = match.start(1) - match.start(), match.end(1) - match.start()
        return match[0][:start] + self._mask + match[0][end:]


def _is_basic_auth(match: Match) -> bool:
    try:
        user = base64.b64decode(match[1] + b"=" * (-len(match[1]) % 4), validate=True)
    except ValueError:
        return False
    return b":" in user and user.isascii()


_PORT = re.compile(rb"[0-9]{1,5}[?#]")
"""`http://host:80?to=a@b` has no password."""

_GAP = r"(?:\s|%20|\+|\\[nrt])+"
_PRIVATE_KEY = "[A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"

SHAPES = (
    Shape(
        "private_key",
        "-----BEGIN ",
        # Up to its end line; of a key cut short, the lines of base64.
        rf"{_PRIVATE_KEY}(?:[^-]*(?:-[^-]+)*-----END {_PRIVATE_KEY}|(?:(?:\s|\\+[nr])*[A-Za-z0-9+/=]{{16,}})+)",
        letters="",
        after="",
    ),
    Shape("anthropic", "sk-ant-", f"{_WORD}{{16,}}"),
    Shape("stripe", "[rs]k_(?:live|test)_", "[A-Za-z0-9]{16,}"),
    Shape("stripe", "whsec_", "[A-Za-z0-9+/=]{24,}"),
    Shape("langfuse", "sk-lf-", f"{_WORD}{{16,}}"),
    Shape("openai", "sk-", f"[A-Za-z_-]{{0,40}}[0-9]{_WORD}{{12,}}", is_common=True),
    Shape("aws", "A[KS]IA", "[A-Z0-9]{16}"),
    Shape("github", "gh[opsur]_", "[A-Za-z0-9]{36,}"),
    Shape("github", "github_pat_", "[A-Za-z0-9_]{22,}"),
    Shape("gitlab", "gl(?:pat|agt|ptt)-", f"{_WORD}{{20,}}"),
    Shape("gitlab", "gl[dfr]t-", f"{_WORD}{{20,}}"),
    Shape("slack", "xox[abeoprs]-", "[A-Za-z0-9-]{10,}"),
    Shape("slack", "xapp-", "[0-9]-[A-Za-z0-9-]{10,}"),
    Shape("slack", r"hooks\.slack\.com/services/", "[A-Za-z0-9/]{20,}"),
    Shape("google", "AIza", f"{_WORD}{{35,}}"),
    Shape("google", "GOCSPX-", f"{_WORD}{{20,}}"),
    Shape("google", r"ya29\.", f"{_WORD}{{20,}}"),
    Shape("huggingface", "hf_", "[A-Za-z0-9]{30,}"),
    Shape("npm", "npm_", "[A-Za-z0-9]{36,}"),
    Shape("pypi", "pypi-", f"{_WORD}{{40,}}"),
    Shape("sendgrid", r"SG\.", rf"{_WORD}{{16,64}}\.{_WORD}{{16,}}"),
    Shape("twilio", "SK", "[0-9a-f]{32}"),
    Shape("groq", "gsk_", "[A-Za-z0-9]{40,}"),
    Shape("xai", "xai-", "[A-Za-z0-9]{40,}"),
    Shape("perplexity", "pplx-", "[A-Za-z0-9]{32,}"),
    Shape("replicate", "r8_", "[A-Za-z0-9]{32,}"),
    Shape("langsmith", "lsv2_[ps][kt]_", "[A-Za-z0-9_]{32,}"),
    Shape("databricks", "dapi", "[0-9a-f]{32}"),
    Shape("digitalocean", "do[opr]_v1_", "[0-9a-f]{64}"),
    Shape("shopify", "shp(?:at|ca|pa|ss)_", "[0-9a-fA-F]{32}"),
    Shape("vault", r"hv[bs]\.", f"{_WORD}{{24,}}"),
    Shape(
        "jwt",
        "eyJ",
        rf"{_WORD}{{10,}}\.(?:{_WORD}{{4,}}\.{_WORD}*|\.{_WORD}{{8,}})(?:\.{_WORD}+){{0,2}}",
        letters="A-Za-z0-9_-",
        after="",
    ),
    Shape("bearer", "(?i:bearer)", rf"{_GAP}([A-Za-z._~+/=-]{{0,40}}[0-9][A-Za-z0-9._~+/=-]{{12,}})", after=""),
    Shape("basic_auth", "(?i:basic)", rf"{_GAP}([A-Za-z0-9+/]{{8,}}={{0,2}})", holds=_is_basic_auth),
    Shape(
        "url_password",
        ":",
        r"(?:\\*/){2}[^\s/@:\"\[]*:([^\s/\"]+)@",
        letters="",
        after="",
        holds=lambda match: not _PORT.match(match[1]),
    ),
)
