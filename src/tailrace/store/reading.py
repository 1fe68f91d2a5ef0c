"""Reading a run of any length: page by page in bounded memory, or all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tailrace.document import Document, join
from tailrace.document.pages import PageInfo, contents
from tailrace.document.restore import restore
from tailrace.errors import LongRunError
from tailrace.store import Store


async def read_whole(store: Store, run_id: str) -> Document | None:
    """The document of a run of any length, with all its events in memory; None if there is none of that id."""
    try:
        return await store.get(run_id)
    except LongRunError as error:
        document = restore(error.header)
        async for page in read_pages(store, run_id, error.header):
            document = join(document, page)
        return document


async def read_pages(store: Store, run_id: str, header: bytes) -> AsyncIterator[Document]:
    """The pages of a long run, one after the other, in the order of the header.

    Every event that the header knew of is in one of them; what is merged meanwhile may be, too.
    """
    for info in contents(header):
        async for document in read_page(store, run_id, info.id):
            yield document


async def read_page(store: Store, run_id: str, page: str) -> AsyncIterator[Document]:
    """One page of a long run; its parts, if it was cut since the header that listed it was read."""
    left = [page]
    while left:
        page = left.pop()
        document = await store.page(run_id, page)
        if document is not None:
            yield document
        else:
            left += [info.id for info in reversed(await _listed(store, run_id)) if _is_part(info.id, page)]


def _is_part(page: str, of: str) -> bool:
    return page != of and page.startswith(of)


async def _listed(store: Store, run_id: str) -> list[PageInfo]:
    try:
        await store.get(run_id)
    except LongRunError as error:
        return contents(error.header)
    return []  # deleted meanwhile
