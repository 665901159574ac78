"""The port of Google's emulators: gRPC and HTTP/1.1 at the same one, and "Ok" for ``GET /``.

gRPC goes on to a server at another port of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib

_GRPC = b"PRI * HTTP/2.0"
_BLOCK = 1 << 16


async def listen(host: str, port: int, target: int) -> asyncio.Server:
    """Listen at ``host`` and ``port``; gRPC is passed on to 127.0.0.1:``target``.

    Raises OSError, as for a port that is in use.
    """

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            start = await reader.readexactly(len(_GRPC))
            if start == _GRPC:
                await _pass_on(start, reader, writer, target)
            else:
                await _answer(start, reader, writer)
        writer.close()

    return await asyncio.start_server(accept, host, port)


async def _answer(start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = start + await reader.readuntil(b"\r\n\r\n")
    method, path = head.split(b" ", 2)[:2]
    found = path == b"/" and method in (b"GET", b"HEAD")
    status, body = (b"200 OK", b"Ok\n") if found else (b"501 Not Implemented", b"only in gRPC\n")
    writer.write(
        b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n%b" % (status, len(body), b"" if method == b"HEAD" else body)
    )
    await writer.drain()


async def _pass_on(
    start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int
) -> None:
    near, far = await asyncio.open_connection("127.0.0.1", target)
    far.write(start)
    try:
        await asyncio.gather(_copy(reader, far), _copy(near, writer))
    finally:
        far.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while block := await source.read(_BLOCK):
        sink.write(block)
        await sink.drain()
    # The peer of a connection that has ended then ends it as well.
    sink.write_eof()
