"""One HTTP connection to a venue's REST endpoints, for requests one after the other.

urllib3 on a thread of its own: Ray has imported it in every process already, while httpx costs 8.6 MB
and aiohttp 7 MB in each symbol's actor (measured as growth of the unique memory with one request).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from cluster.venues.base import HttpRequest

if TYPE_CHECKING:
    from urllib3.connectionpool import HTTPConnectionPool

_MOST_BYTES = 16 * 2**20
THREAD_NAME = "tickcast-rest"


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """An answer read to its end. Names of headers are matched in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class RestClient:
    """Opens its connection with the first request and keeps it until `close`, or a request that fails.

    For one event loop, one request at a time. `proxy` is the address of an HTTP proxy.
    """

    def __init__(self, timeout_s: float, proxy: str | None = None) -> None:
        self._timeout_s = timeout_s
        self._proxy = proxy
        self._session: _Session | None = None

    @property
    def is_open(self) -> bool:
        """There is a connection, or a thread that makes one."""
        return self._session is not None

    async def get(self, request: HttpRequest) -> RestAnswer:
        """The answer, whatever its status; redirects are not followed.

        Raises OSError when there is none within the time limit. A call that is cancelled ends at once,
        and what it had begun on the thread breaks off; a connect that hangs ends by the time limit.
        """
        if self._session is None:
            self._session = _Session(self._timeout_s, self._proxy)
        session = self._session
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(session.thread.submit(session.send, request))
        except TimeoutError:
            self.close()
            raise TimeoutError(f"no answer within {self._timeout_s:g} s") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Break off what is under way and close the connection. The next request opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()


class _Session:
    """A connection and its thread. `send` runs on the thread, the rest on the event loop's."""

    def __init__(self, timeout_s: float, proxy: str | None) -> None:
        from urllib3.poolmanager import PoolManager, ProxyManager

        self.thread = ThreadPoolExecutor(1, THREAD_NAME)
        self._timeout_s = timeout_s
        self._manager = ProxyManager(proxy, maxsize=1) if proxy else PoolManager(maxsize=1)
        self._connection: Any = None

    def send(self, request: HttpRequest) -> RestAnswer:
        """Send a request and read the answer. Raises OSError."""
        from urllib3.exceptions import HTTPError
        from urllib3.util import Timeout

        url = f"{request.url}?{urlencode(request.params)}" if request.params else request.url
        try:
            if self._connection is None:
                self._watch(self._manager.connection_from_url(url))
            response = self._manager.request(
                request.method,
                url,
                headers=dict(request.headers),
                timeout=Timeout(total=self._timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            body = response.read(_MOST_BYTES + 1)
            if len(body) > _MOST_BYTES:
                raise ConnectionError(f"the answer is larger than {_MOST_BYTES} bytes")
            response.release_conn()
        except HTTPError as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        return RestAnswer(response.status, response.headers, body)

    def close(self) -> None:
        """Break off what `send` does, and close the connection."""
        self.thread.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None and self._connection.sock is not None:
            with contextlib.suppress(OSError):  # closed already, by the venue or by the thread
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._manager.clear()

    def _watch(self, pool: HTTPConnectionPool) -> None:
        """Keep hold of the pool's connection: a request that waits on it can't be broken off otherwise."""
        make = pool.ConnectionCls

        def remember(*args: Any, **settings: Any) -> Any:
            self._connection = make(*args, **settings)
            return self._connection

        pool.ConnectionCls = remember  # type: ignore[assignment]
