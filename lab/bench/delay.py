"""A loopback port that leads to another port as if it were farther away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType

CHUNK = 65536
# Read ahead at most this many chunks: what is on its way, for a link without a limit of its own.
QUEUE = 256


class DelayedPort:
    """Forwards TCP connections, every byte ``delay`` seconds later in each direction.

    Order and throughput are unchanged: each chunk has a due time, and the next one is read in the
    meantime. Opening a connection takes one more round trip, as on a real link. asyncio sets
    TCP_NODELAY on its sockets and wakes up at most a millisecond late.

    + host, port: where it leads
    + delay: seconds in each direction

    Inside the context, ``port`` is the loopback port to connect to, and ``round_trips`` counts how
    often a client sent something after an answer, that is, how often it had to wait.
    """

    def __init__(self, host: str, port: int, delay: float) -> None:
        self._target = (host, port)
        self._delay = delay
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        # asyncio itself does not keep a waiting task from being garbage collected.
        self._connections: set[asyncio.Task[None] | None] = set()
        self.port = 0
        self.round_trips = 0

    def __enter__(self) -> DelayedPort:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        loop = self._loop
        server = loop.run_until_complete(self._listen())
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        loop.run_forever()
        server.close()
        loop.run_until_complete(self._hang_up())
        loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _hang_up(self) -> None:
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        writers = [near_out]
        connection = asyncio.current_task()
        self._connections.add(connection)
        try:
            await asyncio.sleep(2 * self._delay)
            far_in, far_out = await asyncio.open_connection(*self._target)
            writers.append(far_out)
            turn = _Turn(self)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(near_in, far_out, turn.asked))
                both.create_task(self._forward(far_in, near_out, turn.answered))
        except* OSError:
            pass  # one side is gone; the other is closed below
        finally:
            self._connections.discard(connection)
            for writer in writers:
                writer.close()

    async def _forward(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        heard: Callable[[], None],
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE)

        async def take() -> None:
            while True:
                data = await source.read(CHUNK)
                await queue.put((self._loop.time() + self._delay, data))
                if not data:
                    return
                heard()

        async def give() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - self._loop.time())
                if not data:
                    target.write_eof()
                    return
                target.write(data)
                await target.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(take())
            both.create_task(give())


class _Turn:
    """Remembers which side of a connection sent last."""

    def __init__(self, port: DelayedPort) -> None:
        self._port = port
        self._answered = True

    def asked(self) -> None:
        if self._answered:
            self._port.round_trips += 1
        self._answered = False

    def answered(self) -> None:
        self._answered = True
