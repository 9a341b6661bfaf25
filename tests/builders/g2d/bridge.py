"""Transports between a client and an application or a script, without a socket."""

import asyncio

import httpx


class Bridge(httpx.BaseTransport):
    """Hands requests of a client in another thread to an application on the event loop."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        copy = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        return asyncio.run_coroutine_threadsafe(self._answer(copy), self._loop).result(60)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        content = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, content=content)


class Script(httpx.MockTransport):
    """Answers one request after the other as a script says, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | httpx.HTTPError) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = iter(answers)
        super().__init__(self._next)

    def _next(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return answer


def problem(status: int, slug: str, **headers: str) -> httpx.Response:
    """Return a response with problem details; headers have `_` for `-`."""
    members = {"type": f"urn:g2d:problem:{slug}", "title": "A title", "detail": "the reason"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=members, headers=named)
