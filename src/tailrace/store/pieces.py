"""A long run as every store keeps it: pages, and a header in the run's place. What to read and write, without doing it.

A store reads the pages that `LongMerge.parts` names, writes what `joined` makes of each, and then writes the header.
Pages only ever grow, and only the header says which there are. So whoever is interrupted in between has added events
to pages without their being counted, or made pages that nobody looks at: merging the same again puts it right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tailrace.document import Document, Summary, join
from tailrace.document.pages import Digest, contents, digest, divide, header, is_header, is_long, split
from tailrace.document.restore import restore
from tailrace.document.summary import MAX_TEXT, Indexed, prepare, prepare_element
from tailrace.document.view import render
from tailrace.errors import DecodeError, LongRunError
from tailrace.store import Rejected
from tailrace.store.entry import Entry, entry_of
from tailrace.store.words import MARK, marked

MAX_PIECE = 4 << 20
"""Bytes of the longest piece that a store keeps."""

_TEXT_PAGES = 8  # of which a long run's searchable text is made, the first ones
_PAGE_TEXT = 65_536  # characters
_digest = msgspec.json.Decoder(Digest)


class PieceTooLargeError(Exception):
    """A piece would exceed `MAX_PIECE`; the message names it."""


UNUSABLE = (DecodeError, PieceTooLargeError, msgspec.MsgspecError, ValueError, RecursionError)
"""What is raised where a document, or what is stored for its run, can never be merged."""


class Piece(msgspec.Struct, frozen=True):
    """What is written for one page."""

    body: bytes
    """The JSON of the page's document."""
    digest: bytes
    text: str
    """Its searchable words, as in `Entry.text`."""


class LongMerge:
    """One document on its way into a long run. Not thread-safe."""

    def __init__(self, given: Document, stored: bytes | None) -> None:
        """`stored`: the header, or None for a run that becomes long with this document.

        Raises:
            DecodeError: the stored header cannot be read.
            PieceTooLargeError: an event is too large to be stored.
        """
        self._stored = stored
        self._pages = {info.id for info in contents(stored)} if stored is not None else set()
        self._header = Indexed(b"", Summary(given.run_id, "", "", None, None, None), [], text_truncated=False)
        if any(len(memoryview(event.data)) > MAX_PIECE for event in given.events.values()):
            raise PieceTooLargeError(f"an event of it takes more than {MAX_PIECE} bytes")
        root, self.parts = divide(given, self._pages)
        """Page -> what is to be joined into it."""
        self._root = join(restore(stored), root) if stored is not None else root

    @property
    def run_id(self) -> str:
        return self._root.run_id

    @property
    def pages(self) -> list[str]:
        """The pages that the header lists, once all parts are joined."""
        return sorted(self._pages)

    def joined(self, page: str, stored: bytes | None) -> dict[str, Piece]:
        """What to write for a page that stands in the store as `stored`: nothing if that holds all of it already.

        Several pages where it is cut: then `page` itself is to be deleted, once the header is written.

        Raises:
            DecodeError: the stored page cannot be read.
            PieceTooLargeError: an event in it is too large to be stored.
        """
        part = self.parts[page]
        pieces = split(page, join(restore(stored), part) if stored is not None else part)
        self._pages.discard(page)
        written = {}
        for name, document in pieces.items():
            indexed = prepare(document, max_text=_PAGE_TEXT)
            if len(indexed.body) > MAX_PIECE:
                raise PieceTooLargeError(f"page {name!r} of it would take {len(indexed.body)} bytes")
            self._pages.add(name)
            if name != page or indexed.body != stored:
                text = marked(indexed.texts)
                written[name] = Piece(indexed.body, msgspec.json.encode(digest(document)), text)
        return written

    def count(self, digests: Mapping[str, bytes]) -> list[str]:
        """Derive the header from the digests of all `pages`; the pages whose `Piece.text` it is searched by.

        Raises:
            PieceTooLargeError: the header itself is too large.
        """
        element = header(self._root, {page: _digest.decode(found) for page, found in digests.items()})
        self._header = prepare_element(element)
        if len(self._header.body) > MAX_PIECE:
            raise PieceTooLargeError(f"its header would take {len(self._header.body)} bytes")
        return [info.id for info in element["pages"][:_TEXT_PAGES]]

    def entry(self, texts: Sequence[str]) -> Entry | None:
        """The counted header as the run's entry, given the texts that `count` asked for; None if it stands already."""
        if self._header.body == self._stored:
            return None
        text = f" {MARK} ".join(filter(None, (marked(self._header.texts), *texts)))
        return entry_of(self._header, text if len(text) <= MAX_TEXT else text[:MAX_TEXT].rpartition(" ")[0])


def merged(given: Document, stored: bytes | None) -> Entry | LongMerge | Rejected | None:
    """What to write for `given` where `stored` stands in the run's place; None if that holds all of it already."""
    try:
        if stored is not None and is_header(stored):
            render(given).decode()
            return LongMerge(given, stored)
        document = join(restore(stored), given) if stored is not None else given
        indexed = prepare(document)
        indexed.body.decode()
        if is_long(document, indexed.body):
            return LongMerge(document, None)
    except UNUSABLE as error:
        return rejected(given, error)
    # Bytes, not documents: one fact may be written in two ways (the order of keys) that render alike.
    return entry_of(indexed, marked(indexed.texts)) if indexed.body != stored else None


def rejected(given: Document, error: Exception) -> Rejected:
    """The answer to a document that one of `UNUSABLE` was raised for."""
    if isinstance(error, DecodeError):
        return Rejected(given, f"what is stored for its run cannot be read, delete it and rebuild: {error}")
    if isinstance(error, PieceTooLargeError):
        return Rejected(given, f"it cannot be stored: {error}")
    return Rejected(given, f"it cannot be rendered: {error}")


def whole(run_id: str, stored: bytes) -> Document:
    """What stands in a run's place as its document.

    Raises:
        LongRunError: it is a long run's header.
    """
    if is_header(stored):
        raise LongRunError(run_id, stored)
    return restore(stored)
