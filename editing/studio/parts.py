"""The controls of the page by name."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Parts:
    """Every control that handlers read or change; all are gradio components."""

    message: Any
    tabs: Any
    view: Any  # the photo: with boxes, while searching, before and after
    face: Any  # the aligned face without and with the edit
    upload: Any
    sample: Any
    camera: Any
    align: Any
    faces: Any
    invert: Any
    cancel: Any
    method: Any
    space: Any
    steps: Any
    seed: Any
    looked_at: Any
    sliders: list[Any]  # a direction each, those beyond the directions on offer are hidden
    psi: Any
    swept: Any
    sweep: Any
    strip: Any
    paste: Any
    region: Any
    measures: dict[str, Any]  # a slider each, by what it sets; hidden where the generator's dials are not fitted
    others: dict[str, Any]  # an operation each, by its key, that has no controls of its own
    second: Any
    second_view: Any
    cross: Any
    mix_seed: Any
    mix: Any
    history: Any
    about: Any
    checkpoint: Any
    direction: Any
    tools: Any  # undo, redo, close-up and downloads; hidden while there is nothing to edit
    undo: Any
    redo: Any
    zoom: Any
    links: Any

    def everything(self) -> list[Any]:
        """Return all of them in a list."""
        parts = [
            getattr(self, item.name) for item in fields(self) if item.name not in ("sliders", "measures", "others")
        ]
        return [*parts, *self.sliders, *self.measures.values(), *self.others.values()]
