"""The page: which controls there are, and what each calls."""

import json
from typing import Any

import gradio as gr

from editing.operations.registry import OPERATIONS
from editing.regions import REGIONS
from editing.studio.edit_events import EditEvents
from editing.studio.expressions import MOST
from editing.studio.keep_events import KeepEvents
from editing.studio.keys import told_keys
from editing.studio.offer import other_operations, still
from editing.studio.parts import Parts
from editing.studio.photo_events import PhotoEvents
from editing.studio.points import PLACE, POINTS, REMOVE
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
# What file choosers offer, by the control's id; what is dropped all the same, handlers refuse in the page's words.
CHOSEN = {
    **dict.fromkeys(("upload", "second", "other-photo"), SUFFIXES), "direction": (".npz",), "session-file": (".zip",),
    "checkpoint": (".safetensors", ".pkl", ".pt", ".pth"), "expression-file": (".json",),
}  # fmt: skip
OWN_DIRECTIONS = 4  # sliders kept for direction files of the user
SHOWN_DIRECTIONS = 6  # the others are below a fold
GROUPS = ("mouth", "eyes", "head")  # of what is measured, in the page's order
REACH = 2.0  # of a slider, either way
GALLERY = "invertigo.gallery(element, number => trigger('bring', {number}), number => trigger('use', {number}))"
TO_STRENGTH = """element.addEventListener('click', event => {
  const cell = event.target.closest('[data-strength]');
  if (cell) trigger('click', {strength: Number(cell.dataset.strength)});
})"""


def build_page(sessions: Sessions, debug: bool = False) -> gr.Blocks:
    """Lay the page out and connect it with the sessions."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(HEADING, elem_id="heading", js_on_load=f"invertigo.choose({json.dumps(CHOSEN)})")
        key = gr.Textbox(visible=False)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=6, elem_id="stage"):
                view = gr.HTML(elem_id="view", js_on_load=PLACE)
                tools = _tools()  # with the picture, so that on a phone that covers no button
                face = gr.HTML(elem_id="face")
            with gr.Column(scale=5, elem_id="panel"):
                message, links = gr.HTML(elem_id="message"), gr.HTML(elem_id="links")
                with gr.Tabs() as tabs:
                    with gr.Tab("Photo", id="photo"):
                        photo = _photo_tab(sessions)
                    with gr.Tab("Edit", id="edit"):
                        edit = _edit_tab()
                    with gr.Tab("Mix", id="mix"):
                        mix = _mix_tab()
                    with gr.Tab("History", id="history"):
                        kept = _history_tab()
                    with gr.Tab("Generator", id="generator"):
                        generator = _generator_tab()
        panes = photo | edit | mix | kept | generator
        parts = Parts(message=message, links=links, tabs=tabs, key=key, view=view, face=face, **tools, **panes)
        _connect_photos(page, parts, PhotoEvents(sessions, parts, debug))
        _connect_kept(parts, KeepEvents(sessions, parts, debug))
        _connect_edits(parts, EditEvents(sessions, parts, debug))
    return page


def _photo_tab(sessions: Sessions) -> dict[str, Any]:
    config, projection = sessions.inverter.config, sessions.inverter.projection
    upload = gr.File(label="Photo", height=150,
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
        steps = gr.Slider(0, 1000, sessions.inverter.settled.steps, step=1, label="Steps at most", elem_id="steps")
        seed = gr.Number(projection.seed, precision=0, minimum=0, label="Seed")
    return {
        "upload": upload, "sample": sample, "camera": camera, "align": align, "faces": faces, "invert": invert,
        "cancel": cancel, "method": method, "space": space, "steps": steps, "seed": seed,
    }  # fmt: skip


def _edit_tab() -> dict[str, Any]:
    num = len({direction.name for direction in all_shipped()}) + OWN_DIRECTIONS
    looked_at = gr.Radio([], label="Face to look at; edits go to all", visible=False)
    region = gr.CheckboxGroup(list(REGIONS), label="Change only (none: the whole face)", elem_id="region")
    border = gr.Checkbox(False, label="Leave the picture's rim where it is (neck, hair, shoulders)", elem_id="border")
    with gr.Row():
        reset = gr.Button("Reset all", size="sm", min_width=90, elem_id="reset")
        neutral = gr.Button("Neutral expression", size="sm", min_width=140, visible=False, elem_id="neutral")
    with gr.Accordion("Looks", elem_id="group-looks"):
        sliders = [_direction_slider() for _ in range(SHOWN_DIRECTIONS)]
        with gr.Accordion("More directions", open=False):
            sliders += [_direction_slider() for _ in range(num - SHOWN_DIRECTIONS)]
            psi = gr.Slider(-0.5, 1.5, 1.0, step=0.05, label="Truncation psi", elem_id="psi",
                            info="1: as it is; 0: the mean face; below 0: the opposite face")  # fmt: skip
        with gr.Accordion("Strength sweep", open=False):
            swept = gr.Dropdown([], label="Direction")
            sweep = gr.Button("Draw the strip", elem_id="draw")
            strip = gr.HTML(elem_id="sweep", js_on_load=TO_STRENGTH)
    groups, measures = _measure_sliders()
    expressions = _expressions()
    with gr.Accordion("Points", open=False, elem_id="points-group"):
        points = gr.HTML(elem_id="points", js_on_load=REMOVE)
        by_words = _control(POINTS)
    with gr.Accordion("Other edits", open=False):
        others = {key: by_words if key == POINTS else _control(key) for key in other_operations()}
        paste = gr.Dropdown(list(PASTE_MODES), value="auto", label="Paste back by")
    return {
        "looked_at": looked_at, "sliders": sliders, "psi": psi, "swept": swept, "sweep": sweep, "strip": strip,
        "paste": paste, "region": region, "measures": measures, "groups": groups, "others": others, "points": points,
        "border": border, "reset": reset, "neutral": neutral, **expressions,
    }  # fmt: skip


def _expressions() -> dict[str, Any]:
    """Make what takes and gives whole expressions."""
    with gr.Accordion("Expressions", open=False, visible=False, elem_id="expressions") as group:
        chosen = gr.Dropdown([], label="Put on", elem_id="expression")
        other_photo = gr.File(label="Take the expression of another photo", height=110,
                              elem_id="other-photo")  # fmt: skip
        other_view = gr.HTML(elem_id="other")
        share = gr.Slider(0, MOST, 1, step=0.05, label="How much of it", visible=False, elem_id="share")
        pose = gr.Checkbox(False, label="The head's pose as well", elem_id="pose")
        link = gr.HTML()
        file = gr.File(label="Load an expression (.json of `invertigo expression save`)",
                       height=110, elem_id="expression-file")  # fmt: skip
    return {
        "expression_group": group, "expression": chosen, "expression_file": file, "expression_link": link,
        "other_photo": other_photo, "other_view": other_view, "pose": pose, "share": share,
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


def _measure_sliders() -> tuple[dict[str, gr.Accordion], dict[str, gr.Slider]]:
    """Make a slider for everything that is measured on a face, in folds; their ranges come with the generator."""
    folds: dict[str, gr.Accordion] = {}
    sliders: dict[str, gr.Slider] = {}
    named = {measure.group for measure in MEASURES.values()}
    for group in sorted(named, key=lambda name: (GROUPS.index(name) if name in GROUPS else len(GROUPS), name)):
        with gr.Accordion(group.capitalize(), open=False, visible=False, elem_id=f"group-{group}") as folds[group]:
            for name in (name for name, measure in MEASURES.items() if measure.group == group):
                low, high = MEASURES[name].plausible
                sliders[name] = gr.Slider(
                    low, high, max(low, 0), step=MEASURES[name].step, label=name, visible=False, elem_id=f"set-{name}"
                )
    return folds, {name: sliders[name] for name in MEASURES}


def _direction_slider() -> gr.Slider:
    return gr.Slider(-REACH, REACH, 0, step=0.05, label="", visible=False, buttons=["reset"], elem_classes="bipolar")


def _mix_tab() -> dict[str, Any]:
    second = gr.File(label="Second photo, for a crossover",
                     height=150, elem_id="second")  # fmt: skip
    second_view = gr.HTML()
    cross = gr.CheckboxGroup([], label="Layers taken from the second photo's largest face")
    mix_seed = gr.Number(0, precision=0, minimum=0, label="Style mixing: seed of the other face")
    mix = gr.CheckboxGroup([], label="Layers taken from it",
                           info="low numbers: pose and shape; high numbers: colour and texture")  # fmt: skip
    return {"second": second, "second_view": second_view, "cross": cross, "mix_seed": mix_seed, "mix": mix}


def _history_tab() -> dict[str, Any]:
    gallery = gr.HTML(elem_id="gallery", js_on_load=GALLERY)
    history = gr.Radio([], label="What was done to this photo, oldest first; choose one to go there")
    session_file = gr.File(label="Open a saved session (the download Session)", height=110,
                           elem_id="session-file")  # fmt: skip
    return {"gallery": gallery, "history": history, "session_file": session_file}


def _generator_tab() -> dict[str, Any]:
    return {
        "about": gr.HTML(elem_id="about"),
        "checkpoint": gr.File(
            label="Load another checkpoint: NVIDIA's, rosinality's, pSp, e4e, or our own", height=150,
            elem_id="checkpoint",
        ),
        "direction": gr.File(label="Load a direction (.npz of `invertigo directions`)",
                             height=150, elem_id="direction"),
    }  # fmt: skip


def _tools() -> dict[str, Any]:
    small: dict[str, Any] = {"size": "sm", "min_width": 60}
    bare: dict[str, Any] = {"container": False, "min_width": 80}
    with gr.Column(visible=False, elem_id="tools") as tools:
        with gr.Row(elem_classes="tools"):
            undo = gr.Button("Undo", elem_id="undo", **small)
            redo = gr.Button("Redo", elem_id="redo", **small)
            keep_a = gr.Button("Keep as A", elem_id="keep-a", **small)
            keep_b = gr.Button("Keep as B", elem_id="keep-b", **small)
        with gr.Row(elem_classes="tools"):
            zoom = gr.Checkbox(False, label="Close-up", elem_id="zoom", **bare)
            placing = gr.Checkbox(False, label="Points", elem_id="placing", **bare)
            compare = gr.Checkbox(False, label="Compare", elem_id="compare", **bare)
        gr.HTML(told_keys(), elem_id="keys")
    return {
        "tools": tools, "undo": undo, "redo": redo, "zoom": zoom, "placing": placing, "keep_a": keep_a,
        "keep_b": keep_b, "compare": compare,
    }  # fmt: skip


QUICK: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def _slow(parts: Parts) -> dict[str, Any]:
    """How events are called that people wait for."""
    return {**QUICK, "show_progress": "minimal", "show_progress_on": parts.message, "concurrency_limit": 2,
            "concurrency_id": "photos"}  # fmt: skip


def _connect_photos(page: gr.Blocks, parts: Parts, events: PhotoEvents) -> None:
    """Say what happens when files come; searches start at once, since each waits for its turn by itself."""
    everything, slow = parts.everything(), _slow(parts)
    # Also while an earlier search ends: gradio would drop the press.
    search = {**slow, "concurrency_limit": None, "concurrency_id": "searches", "trigger_mode": "multiple"}
    how = [parts.method, parts.space, parts.steps, parts.seed]
    page.load(events.open, [parts.key], everything, js="() => invertigo.key()", **QUICK)
    page.unload(events.close)
    parts.upload.upload(events.load_photo, [parts.upload, parts.align], everything, **slow)
    parts.camera.input(events.load_photo, [parts.camera, parts.align], everything, **slow)
    parts.sample.click(events.load_sample, [parts.align], everything, **slow)
    parts.invert.click(events.invert, [parts.faces, *how], everything, **search)
    parts.second.upload(events.load_second, [parts.second, *how], everything, **search)
    parts.cancel.click(events.cancel, None, everything, queue=False, **QUICK)
    parts.checkpoint.upload(events.load_checkpoint, [parts.checkpoint], everything, **slow)
    parts.direction.upload(events.load_direction, [parts.direction], everything, **slow)


def _connect_kept(parts: Parts, events: KeepEvents) -> None:
    """Say what happens to what was made."""
    everything, slow = parts.everything(), _slow(parts)
    parts.gallery.bring(events.press_bring, None, everything, **slow)
    parts.gallery.use(events.press_use, None, everything, **slow)
    parts.session_file.upload(events.open_session, [parts.session_file], everything, **slow)


def _connect_edits(parts: Parts, events: EditEvents) -> None:
    """Say what happens when controls move; what a slider waits for is in no queue."""
    everything = parts.everything()
    # One after the other, looks among them, since all show everything: of two at once, as of a field that is left and
    # of the button that is pressed, the first could end last and take the second back.
    slow = {**_slow(parts), "concurrency_limit": 1, "concurrency_id": "edits"}
    dials = parts.dials()
    for dial in dials:
        if not isinstance(dial, gr.Textbox):  # whose words mean nothing until they are complete
            dial.input(
                events.preview, dials, [parts.face, parts.message], queue=False, trigger_mode="always_last", **QUICK
            )
        for settles in _settles(dial):
            settles(events.settle, dials, everything, trigger_mode="always_last", **slow)
    parts.view.place(events.place, dials, everything, **slow)
    parts.points.remove(events.press_remove, dials, everything, **slow)
    parts.reset.click(events.reset, dials, everything, **slow)
    parts.neutral.click(events.neutral, dials, everything, **slow)
    parts.expression.input(events.choose_expression, [parts.expression, *dials], everything, **slow)
    parts.expression_file.upload(events.load_expression, [parts.expression_file, *dials], everything, **slow)
    parts.other_photo.upload(events.read_expression, [parts.other_photo, parts.pose, *dials], everything, **slow)
    shared = [parts.share, parts.pose, *dials]
    parts.share.input(
        events.preview_share, shared, [parts.face, parts.message], queue=False, trigger_mode="always_last", **QUICK
    )
    for settles in (parts.share.release, parts.pose.input):
        settles(events.settle_share, shared, everything, trigger_mode="always_last", **slow)
    parts.keep_a.click(events.keep_a, None, everything, **slow)
    parts.keep_b.click(events.keep_b, None, everything, **slow)
    parts.undo.click(events.undo, None, everything, **slow)
    parts.redo.click(events.redo, None, everything, **slow)
    parts.history.input(events.go, [parts.history], everything, **slow)
    looks = {
        events.look_at: parts.looked_at, events.look_closer: parts.zoom, events.set_points: parts.placing,
        events.compare: parts.compare,
    }  # fmt: skip
    for look, control in looks.items():
        control.input(look, [control], everything, **slow)
    parts.sweep.click(events.sweep, [parts.swept, *dials], [parts.strip, parts.message], **_slow(parts))
    parts.strip.click(events.press_strip, [parts.swept, *dials], everything, **slow)


def _settles(dial: Any) -> list[Any]:
    """Return the events at which a control has its value."""
    if isinstance(dial, gr.Textbox):
        return [dial.submit, dial.blur]
    return [dial.release if isinstance(dial, gr.Slider) else dial.input]
