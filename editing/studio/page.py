"""The page: which controls there are, and what each calls."""

from typing import Any

import gradio as gr

from editing.operations.registry import OPERATIONS
from editing.regions import REGIONS
from editing.studio.handlers import Handlers
from editing.studio.offer import other_operations, slider_step, still
from editing.studio.parts import Parts
from editing.studio.sessions import Sessions
from inversion.config import PASTE_MODES, SPACES
from inversion.faces.measures import MEASURES
from inversion.methods import METHOD_NAMES
from stylegan_core.directions import all_shipped
from stylegan_core.options import options_of
from stylegan_core.photo_files import SUFFIXES

TITLE = "Invertigo studio"
HEADING = f"""<h1>{TITLE}</h1>
<p>Edit only people who agreed to it, and say that the picture is edited; downloads carry that in their metadata.</p>"""
CHECKPOINTS = [".safetensors", ".pkl", ".pt", ".pth"]
OWN_DIRECTIONS = 4  # sliders kept for direction files of the user
SHOWN_DIRECTIONS = 6  # the others are below a fold
REACH = 2.0  # of a slider, either way
TO_STRENGTH = """element.addEventListener('click', event => {
  const cell = event.target.closest('[data-strength]');
  if (cell) trigger('click', {strength: Number(cell.dataset.strength)});
})"""


def build_page(sessions: Sessions, debug: bool = False) -> gr.Blocks:
    """Lay the page out and connect it with the sessions."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(HEADING, elem_id="heading")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=6, elem_id="stage"):
                stage, tools = _stage(), _tools()  # together, so that on a phone the pictures cover no button
            with gr.Column(scale=5, elem_id="panel"):
                message = gr.HTML(elem_id="message")
                with gr.Tabs() as tabs:
                    with gr.Tab("Photo", id="photo"):
                        photo = _photo_tab(sessions)
                    with gr.Tab("Edit", id="edit"):
                        edit = _edit_tab()
                    with gr.Tab("Mix", id="mix"):
                        mix = _mix_tab()
                    with gr.Tab("History", id="history"):
                        history = gr.Radio([], label="What was done, oldest first; choose one to go there")
                    with gr.Tab("Generator", id="generator"):
                        generator = _generator_tab()
        parts = Parts(
            message=message, tabs=tabs, history=history, **stage, **photo, **edit, **mix, **generator, **tools
        )
        _connect(page, parts, Handlers(sessions, parts, debug))
    return page


def _stage() -> dict[str, Any]:
    return {
        "view": gr.HTML(elem_id="view"),
        "face": gr.HTML(elem_id="face"),
    }


def _photo_tab(sessions: Sessions) -> dict[str, Any]:
    config, projection = sessions.inverter.config, sessions.inverter.projection
    upload = gr.File(label="Photo", file_types=list(SUFFIXES), height=150,
                     elem_id="upload")  # fmt: skip
    with gr.Row():
        sample = gr.Button("Use the sample photo", elem_id="sample")
    with gr.Accordion("Camera", open=False):
        camera = gr.Image(sources=["webcam"], type="filepath", label="Camera", buttons=[])
    align = gr.Checkbox(config.align, label="Find the faces (off: the picture is one aligned face)")
    faces = gr.CheckboxGroup([], label="Faces to invert", visible=False, elem_id="faces")
    with gr.Row():
        invert = gr.Button("Invert", variant="primary", elem_id="invert")
        cancel = gr.Button("Cancel", elem_id="cancel")
    with gr.Accordion("How to search", open=False):
        method = gr.Dropdown(list(METHOD_NAMES), value=config.method, label="Method")
        space = gr.Dropdown(list(SPACES), value=projection.space, label="Latent space")
        steps = gr.Slider(0, 1000, projection.steps, step=1, label="Steps at most", elem_id="steps")
        seed = gr.Number(projection.seed, precision=0, minimum=0, label="Seed")
    return {
        "upload": upload, "sample": sample, "camera": camera, "align": align, "faces": faces, "invert": invert,
        "cancel": cancel, "method": method, "space": space, "steps": steps, "seed": seed,
    }  # fmt: skip


def _edit_tab() -> dict[str, Any]:
    num = len({direction.name for direction in all_shipped()}) + OWN_DIRECTIONS
    looked_at = gr.Radio([], label="Face to look at; edits go to all", visible=False)
    sliders = [_direction_slider() for _ in range(SHOWN_DIRECTIONS)]
    psi = gr.Slider(-0.5, 1.5, 1.0, step=0.05, label="Truncation psi", elem_id="psi",
                    info="1: as it is; 0: the mean face; below 0: the opposite face")  # fmt: skip
    with gr.Accordion("More directions", open=False):
        sliders += [_direction_slider() for _ in range(num - SHOWN_DIRECTIONS)]
    with gr.Accordion("Strength sweep", open=False):
        swept = gr.Dropdown([], label="Direction")
        sweep = gr.Button("Draw the strip", elem_id="draw")
        strip = gr.HTML(elem_id="sweep", js_on_load=TO_STRENGTH)
    measures = _measure_sliders()
    region = gr.CheckboxGroup(list(REGIONS), label="Change only (none ticked: everything)", elem_id="region")
    others = {key: _control(key) for key in other_operations()}
    paste = gr.Dropdown(list(PASTE_MODES), value="auto", label="Paste back by")
    return {
        "looked_at": looked_at, "sliders": sliders, "psi": psi, "swept": swept, "sweep": sweep, "strip": strip,
        "paste": paste, "region": region, "measures": measures, "others": others,
    }  # fmt: skip


def _control(key: str) -> Any:
    """Make the control of an operation from its option: a slider, a choice, or a line for the command line's words."""
    item = options_of(OPERATIONS[key])[key]
    about, default = item.metadata, still(key)
    looks: dict[str, Any] = {"label": key.replace("_", " "), "info": about["help"], "elem_id": key}
    if choices := about.get("choices") or about.get("offer", tuple)():
        choices = [default, *(choice for choice in choices if choice != default)]
        return gr.Dropdown(list(choices), value=default, **looks)
    if isinstance(default, int | float) and "least" in about and "most" in about:
        low, high = about["least"], about["most"]
        step = 1 if isinstance(default, int) else (high - low) / 40
        return gr.Slider(low, high, default, step=step, buttons=["reset"], **looks)
    return gr.Number(default, **looks) if isinstance(default, int | float) else gr.Textbox(default, **looks)


def _measure_sliders() -> dict[str, gr.Slider]:
    """Make a slider for everything that is measured on a face, in groups; their ranges come with the generator."""
    sliders: dict[str, gr.Slider] = {}
    for group in dict.fromkeys(measure.group for measure in MEASURES.values()):
        with gr.Accordion(f"Set: {group}", open=False):
            for name, measure in MEASURES.items():
                if measure.group == group:
                    low, high = measure.plausible
                    sliders[name] = gr.Slider(
                        low, high, max(low, 0), step=slider_step(name), label=name, info=measure.unit, visible=False,
                        elem_id=f"set-{name}",
                    )  # fmt: skip
    return {name: sliders[name] for name in MEASURES}


def _direction_slider() -> gr.Slider:
    return gr.Slider(-REACH, REACH, 0, step=0.05, label="", visible=False, buttons=["reset"], elem_classes="bipolar")


def _mix_tab() -> dict[str, Any]:
    second = gr.File(label="Second photo, for a crossover", file_types=list(SUFFIXES),
                     height=150, elem_id="second")  # fmt: skip
    second_view = gr.HTML()
    cross = gr.CheckboxGroup([], label="Layers taken from the second photo's largest face")
    mix_seed = gr.Number(0, precision=0, minimum=0, label="Style mixing: seed of the other face")
    mix = gr.CheckboxGroup([], label="Layers taken from it",
                           info="low numbers: pose and shape; high numbers: colour and texture")  # fmt: skip
    return {"second": second, "second_view": second_view, "cross": cross, "mix_seed": mix_seed, "mix": mix}


def _generator_tab() -> dict[str, Any]:
    return {
        "about": gr.HTML(elem_id="about"),
        "checkpoint": gr.File(
            label="Load another checkpoint: NVIDIA's, rosinality's, pSp, e4e, or our own",
            file_types=CHECKPOINTS, height=150, elem_id="checkpoint",
        ),
        "direction": gr.File(label="Load a direction (.npz of `invertigo directions`)", file_types=[".npz"],
                             height=150, elem_id="direction"),
    }  # fmt: skip


def _tools() -> dict[str, Any]:
    with gr.Column(visible=False, elem_id="tools") as tools:
        with gr.Row():
            undo = gr.Button("Undo", size="sm", min_width=60, elem_id="undo")
            redo = gr.Button("Redo", size="sm", min_width=60, elem_id="redo")
            zoom = gr.Checkbox(False, label="Close-up", container=False, min_width=90, elem_id="zoom")
        links = gr.HTML(elem_id="links")
    return {"tools": tools, "undo": undo, "redo": redo, "zoom": zoom, "links": links}


def _connect(page: gr.Blocks, parts: Parts, handlers: Handlers) -> None:
    """Say what happens on every event: searches wait in one queue, what a slider waits for does not."""
    everything = parts.everything()
    quick: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    slow = {**quick, "show_progress": "minimal", "show_progress_on": parts.message, "concurrency_limit": 2,
            "concurrency_id": "photos"}  # fmt: skip
    search = {**slow, "concurrency_limit": 1, "concurrency_id": "searches"}
    how = [parts.method, parts.space, parts.steps, parts.seed]
    dials = [*parts.sliders, parts.cross, parts.mix_seed, parts.mix, parts.psi, parts.paste, parts.region]
    dials += [*parts.measures.values(), *parts.others.values()]
    where = [parts.looked_at, parts.zoom]

    page.load(handlers.open, None, everything, **quick)
    page.unload(handlers.close)
    parts.upload.upload(handlers.load_photo, [parts.upload, parts.align], everything, **slow)
    parts.camera.input(handlers.load_photo, [parts.camera, parts.align], everything, **slow)
    parts.sample.click(handlers.load_sample, [parts.align], everything, **slow)
    searches = [
        parts.invert.click(handlers.invert, [parts.faces, *how], everything, **search),
        parts.second.upload(handlers.load_second, [parts.second, *how], everything, **search),
    ]
    parts.cancel.click(handlers.cancel, None, everything, cancels=searches, queue=False, **quick)
    for dial in dials:
        dial.input(
            handlers.preview, dials, [parts.face, parts.message], queue=False, trigger_mode="always_last", **quick
        )
        settles = dial.release if isinstance(dial, gr.Slider) else dial.input
        settles(handlers.settle, dials, everything, trigger_mode="always_last", **slow)
    parts.undo.click(handlers.undo, None, everything, **slow)
    parts.redo.click(handlers.redo, None, everything, **slow)
    parts.history.input(handlers.go, [parts.history], everything, **slow)
    for control in where:
        control.input(handlers.look, where, everything, **slow)
    parts.sweep.click(handlers.sweep, [parts.swept, *dials], [parts.strip, parts.message], **slow)
    parts.strip.click(handlers.press_strip, [parts.swept, *dials], everything, **slow)
    parts.checkpoint.upload(handlers.load_checkpoint, [parts.checkpoint], everything, **slow)
    parts.direction.upload(handlers.load_direction, [parts.direction], everything, **slow)
