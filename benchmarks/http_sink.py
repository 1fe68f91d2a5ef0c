"""An HTTP/1.1 server that takes everything and keeps nothing; run as a program, it prints its port."""

from __future__ import annotations

import asyncio
import contextlib

_LIMIT = 1 << 20
# LangSmith's client asks what the server takes; without an answer it would send one request a run.
_INFO = (
    b'{"version":"0.10.0","batch_ingest_config":{"scale_up_qsize_trigger":1000,"scale_up_nthreads_limit":16,'
    b'"scale_down_nempty_trigger":4,"size_limit":100,"size_limit_bytes":20971520,"use_multipart_endpoint":true},'
    b'"instance_flags":{"zstd_compression_enabled":true}}'
)


async def main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=_LIMIT)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        while line := await reader.readline():
            path = line.split(b" ")[1].partition(b"?")[0]
            await _swallow_body(reader, writer, await _headers(reader))
            kind, body = _answer(path)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body
            )
            await writer.drain()
    writer.close()


async def _headers(reader: asyncio.StreamReader) -> dict[bytes, bytes]:
    found = {}
    while (line := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        found[name.strip().lower()] = value.strip().lower()
    return found


async def _swallow_body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[bytes, bytes]
) -> None:
    if b"expect" in headers:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get(b"transfer-encoding") != b"chunked":
        await _swallow(reader, int(headers.get(b"content-length", b"0")))
        return
    while size := int((await reader.readline()).partition(b";")[0], 16):
        await _swallow(reader, size + 2)
    await reader.readline()


async def _swallow(reader: asyncio.StreamReader, size: int) -> None:
    while size:
        read = await reader.read(min(size, _LIMIT))
        if not read:
            raise ConnectionResetError
        size -= len(read)


def _answer(path: bytes) -> tuple[bytes, bytes]:
    if path.endswith(b"/info"):
        return b"application/json", _INFO
    if path.endswith((b"/traces", b"/logs")):
        return b"application/x-protobuf", b""  # what OTLP answers when it took everything
    return b"application/json", b"{}"


if __name__ == "__main__":
    asyncio.run(main())
