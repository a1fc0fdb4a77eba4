"""The task of `invertigo studio`: serve the page to this machine, and leave nothing behind."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from editing.config import StudioConfig
from inversion.config import InvertConfig, ProjectionConfig
from stylegan_core.console import Console
from stylegan_core.credentials import Signature
from stylegan_core.errors import ConfigError, ToolkitError

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
MEGABYTE = 1 << 20


def open_studio(
    config: StudioConfig, invert: InvertConfig, projection: ProjectionConfig, console: Console,
    signature: Signature | None = None,
) -> None:  # fmt: skip
    """Serve the studio until it is interrupted; its private folder is deleted at the end.

    `signature` signs the pictures that are downloaded."""
    check_port(config.host, config.port)
    with ended_politely(), tempfile.TemporaryDirectory(prefix="invertigo-studio-") as folder:
        page, sessions, address = start_studio(config, invert, projection, Path(folder), console.debug, signature)
        try:
            console.say(f"the studio is at {address} (Ctrl-C ends it and deletes what was uploaded)")
            page.block_thread()
        finally:
            sessions.close_all()
            page.close(verbose=False)


@contextmanager
def ended_politely() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that what is to be deleted is."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def check_port(host: str, port: int) -> None:
    """Refuse a port that cannot be listened on, before any model is loaded; raises `ConfigError`."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen on {host}:{port} ({error}); choose another --port or --host") from error


def start_studio(
    config: StudioConfig, invert: InvertConfig, projection: ProjectionConfig, folder: Path, debug: bool = False,
    signature: Signature | None = None,
) -> tuple[Any, Any, str]:  # fmt: skip
    """Load the models and serve the page from a thread; return the page, its sessions and its address."""
    os.environ.update({**QUIET, "GRADIO_TEMP_DIR": str(folder / "uploads")})  # gradio reads them when it is imported
    try:
        import gradio as gr
    except ImportError:
        raise ConfigError("the studio needs gradio: pip install 'invertigo[studio]'") from None
    from starlette.middleware import Middleware
    from starlette.routing import Route

    from editing.studio.gate import LOOPBACK, Gate
    from editing.studio.keys import listening
    from editing.studio.page import build_page
    from editing.studio.sessions import Sessions
    from inversion.invert import Inverter
    from stylegan_core.devices import fit_process

    inverter = Inverter(invert, projection)
    fit_process(inverter.generator.img_resolution)
    sessions = Sessions(inverter, folder / "sessions", config.max_photo * MEGABYTE, config.grace, signature)
    page = build_page(sessions, debug)
    local = config.host in LOOPBACK and not config.share
    _, address, public = page.queue(max_size=64).launch(
        server_name=config.host,
        server_port=config.port or None,
        inbrowser=config.browser,
        share=config.share,
        prevent_thread_lock=True,
        quiet=True,
        theme=plain_theme(gr),
        head=f"<script>{Path(__file__).with_name('studio.js').read_text()}\n{listening()}</script>",
        css_paths=Path(__file__).with_name("studio.css"),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
        max_file_size=config.max_checkpoint * MEGABYTE,
        app_kwargs={
            "middleware": [Middleware(Gate, local=local)],
            "routes": [Route("/download/{token}/{what}", download_from(sessions))],
        },
    )
    return page, sessions, public or address


def plain_theme(gr: Any) -> Any:
    """Take the system's fonts, so that none is fetched, and greys dark enough to be read."""
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return theme.set(
        body_text_color_subdued="#4b5563", body_text_color_subdued_dark="#b6bcc6", block_info_text_color="#4b5563",
        block_info_text_color_dark="#b6bcc6", block_label_text_color="#374151", block_label_text_color_dark="#d1d5db",
    )  # fmt: skip


def download_from(sessions: Any) -> Any:
    """Return the route that writes a file of a session when it is asked for, and sends it."""
    from starlette.requests import Request
    from starlette.responses import FileResponse, PlainTextResponse, Response

    from editing.studio.exports import export

    def download(request: Request) -> Response:
        session = sessions.by_token(request.path_params["token"])
        if session is None:
            return PlainTextResponse("not found", status_code=404)
        try:
            path = export(session, request.path_params["what"])
        except ToolkitError as error:
            return PlainTextResponse(str(error), status_code=404)
        return FileResponse(path, filename=path.name, headers={"cache-control": "no-store"})

    return download
