"""The page of a human evaluation: one pair at a time, two buttons, and the rate at the end."""

import os
import tempfile
from html import escape
from pathlib import Path
from typing import Any

from editing.config import StudioConfig
from editing.studio.serve import QUIET, check_port, ended_politely, plain_theme
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, ToolkitError
from stylegan_core.metrics.human import QUESTIONS, Ballot, HumanConfig, Pair, plan_pairs, report
from stylegan_core.metrics.human_pictures import alike, data_url, open_pictures

STYLE = """.pair {display: flex; gap: 1rem; justify-content: center}
.pair img {width: min(512px, 46vw); margin: 0}
.gradio-container {max-width: 1160px !important; margin: auto}"""


class Interview:
    """A person's way through the pairs: what the page shows, and what its buttons do."""

    def __init__(self, real: str, generated: str, config: HumanConfig) -> None:
        if config.pairs < 1:
            raise ConfigError(f"--pairs {config.pairs}; ask for 1 or more")
        self.config = config
        self.reals = open_pictures(real, config.psi)
        self.fakes = open_pictures(generated, config.psi)
        pairs = plan_pairs(self.reals.names, self.fakes.names, config)
        settings = {
            "real": Path(real).name, "generated": Path(generated).name, "ask": config.ask, "matched": config.matched,
            "resolution": config.resolution, "psi": config.psi, "seed": config.seed,
        }  # fmt: skip
        self.ballot = Ballot(pairs, config.out, settings)
        self.pictures(self.ballot.pairs[0])  # what cannot be read is said before the page opens

    def pictures(self, pair: Pair) -> tuple[str, str]:
        """The pictures of a pair, left and right, as data URLs."""
        both = self.reals.read(pair.real), self.fakes.read(pair.generated)
        both = alike(*both, self.config.resolution, keep_shape=self.config.matched)
        left, right = both if pair.real_side == "left" else both[::-1]
        return data_url(left), data_url(right)

    def view(self) -> tuple[int, str, str]:
        """Which pair is next, its progress in words, and the two pictures as HTML; at the end the rate."""
        ballot = self.ballot
        if ballot.finished:
            return ballot.index, f"All {len(ballot.pairs)} pairs are answered. Thank you.", self.result()
        pair = ballot.show()
        left, right = self.pictures(pair)
        pictures = (
            f'<div class="pair"><img src="{left}" alt="left picture"><img src="{right}" alt="right picture"></div>'
        )
        return ballot.index, f"Pair {ballot.index + 1} of {len(ballot.pairs)}", pictures

    def choose(self, index: int, side: str) -> tuple[int, str, str]:
        """Take the answer to pair `index` and show the next."""
        self.ballot.answer(int(index), side)
        return self.view()

    def result(self) -> str:
        """The rate so far as HTML."""
        return "".join(f"<p>{escape(line)}</p>" for line in self.lines())

    def lines(self) -> list[str]:
        """The rate so far, in lines."""
        if not self.ballot.answers:
            return ["no pair was answered"]
        return report([(self.config.out, self.ballot.settings, self.ballot.answers)])


def build_human_page(interview: Interview) -> Any:
    """Lay the page out and connect it."""
    import gradio as gr

    with gr.Blocks(title="Which is real?", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(f"<h1>{QUESTIONS[interview.config.ask]}</h1>", elem_id="question")
        progress = gr.HTML(elem_id="progress")
        pictures = gr.HTML(elem_id="pictures")
        index = gr.State(0)
        with gr.Row():
            buttons = {side: gr.Button(side.capitalize(), elem_id=side) for side in ("left", "right")}

        def shown(view: tuple[int, str, str]) -> tuple[Any, ...]:
            done = interview.ballot.finished
            return (*view, *(gr.Button(interactive=not done) for _ in buttons))

        def chosen(index: int, side: str) -> tuple[Any, ...]:
            try:
                return shown(interview.choose(index, side))
            except ToolkitError as error:
                raise gr.Error(str(error)) from error

        outputs = [index, progress, pictures, *buttons.values()]
        page.load(lambda: shown(interview.view()), None, outputs, show_progress="hidden", api_visibility="private")
        for side, button in buttons.items():
            button.click(
                lambda index, side=side: chosen(index, side), index, outputs, show_progress="hidden",
                concurrency_id="answers", concurrency_limit=1, api_visibility="private",
            )  # fmt: skip
    return page


def open_human_page(real: str, generated: str, config: HumanConfig, page: StudioConfig, console: Console) -> None:
    """Serve the page until it is interrupted, then print the rate."""
    check_port(page.host, page.port)
    interview = Interview(real, generated, config)
    with ended_politely(), tempfile.TemporaryDirectory(prefix="invertigo-human-") as folder:
        served, address = start_human_page(interview, page, Path(folder))
        try:
            done = f", {interview.ballot.index} answered before" if interview.ballot.index else ""
            console.say(f"{len(interview.ballot.pairs)} pairs at {address}{done} (Ctrl-C ends it; answers are kept)")
            served.block_thread()
        finally:
            served.close(verbose=False)
            for line in interview.lines():
                console.say(line)


def start_human_page(interview: Interview, config: StudioConfig, folder: Path) -> tuple[Any, str]:
    """Serve the page from a thread; return it and its address."""
    os.environ.update({**QUIET, "GRADIO_TEMP_DIR": str(folder / "uploads")})  # gradio reads them when it is imported
    try:
        import gradio as gr
    except ImportError:
        raise ConfigError("the page needs gradio: pip install 'invertigo[studio]'") from None
    from starlette.middleware import Middleware

    from editing.studio.gate import LOOPBACK, Gate

    page = build_human_page(interview)
    local = config.host in LOOPBACK and not config.share
    _, address, public = page.queue(max_size=64).launch(
        server_name=config.host, server_port=config.port or None, inbrowser=config.browser, share=config.share,
        prevent_thread_lock=True, quiet=True, theme=plain_theme(gr), css=STYLE, footer_links=[], run_history=False,
        enable_monitoring=False, mcp_server=False, ssr_mode=False, pwa=False,
        app_kwargs={"middleware": [Middleware(Gate, local=local)]},
    )  # fmt: skip
    return page, public or address
