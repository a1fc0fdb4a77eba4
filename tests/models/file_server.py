"""A file server of one's own over TLS, that misbehaves as it is told."""

import http.server
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

TLS = Path(__file__).resolve().parent.parent / "data" / "tls"

Handler = Callable[[http.server.BaseHTTPRequestHandler, int], None]


class Server:
    """Answers GET at /NAME by `answers[NAME](request, how often it was asked before)`; notes the headers it saw."""

    def __init__(self) -> None:
        self.answers: dict[str, Handler] = {}
        self.seen: list[dict[str, str]] = []
        outer = self

        class Request(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.partition("?")[0].lstrip("/")
                before = sum(item["name"] == name for item in outer.seen)
                outer.seen.append({"name": name, **{key.lower(): value for key, value in self.headers.items()}})
                outer.answers[name](self, before)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # clients that hang up are part of the tests
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def url(self, name: str) -> str:
        return f"https://127.0.0.1:{self.server.server_address[1]}/{name}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def send(request, body: bytes, status=200, length: int | None = None, **headers: str) -> None:
    """Answer with `body`; `length` is what Content-Length claims."""
    request.send_response(status)
    headers = {"Content_Type": "application/octet-stream", **headers}
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    request.end_headers()
    request.wfile.write(body)
    if length is not None and length != len(body):
        request.close_connection = True


def serve(body: bytes, etag: str = '"1"') -> Handler:
    """Answer as an ordinary server does: whole, or from the byte that is asked for."""

    def answer(request, before: int) -> None:
        asked = request.headers.get("Range", "")
        if asked and request.headers.get("If-Range") == etag:
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first >= len(body):
                send(request, b"", 416)
                return
            send(request, body[first:], 206, ETag=etag, Content_Range=f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            send(request, body, ETag=etag)

    return answer
