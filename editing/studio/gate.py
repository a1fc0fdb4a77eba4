"""What the web server lets through: the page's own routes from the page's own host, and nothing else."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# What the page needs of gradio. Its routes for files, proxies, other components and recordings are not among them.
OPEN = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/(?:assets|static|svelte)/[\w./-]+|/download/[\w-]+/\w+"
    r"|/gradio_api/(?:queue/(?:join|data)|heartbeat/\w+|cancel|reset/?|upload|upload_progress|startup-events"
    r"|run/predict/?|info/?|theme\.css|app_id/?)"
)
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "manifest-src 'self'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


class Gate:
    """ASGI middleware. With `local` it answers this machine's own names only, so that no other site can reach it."""

    def __init__(self, app: App, local: bool) -> None:
        self.app, self.local = app, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http" or not self._admits(scope):
            await _refuse(send)
        else:
            await self.app(scope, receive, lambda message: send(_with_headers(message)))

    def _admits(self, scope: Scope) -> bool:
        path = scope["path"]
        if ".." in path or not OPEN.fullmatch(path):
            return False
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        return not self.local or re.sub(r":\d+$", "", host) in LOOPBACK


def _with_headers(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", []), *HEADERS]
    return message


async def _refuse(send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain"), *HEADERS]})
    await send({"type": "http.response.body", "body": b"not found"})
