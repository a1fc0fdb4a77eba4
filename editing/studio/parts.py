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
    points: Any  # the list of points that are dragged
    swept: Any
    sweep: Any
    strip: Any
    paste: Any
    region: Any
    border: Any
    measures: dict[str, Any]  # a slider each, by what it sets; hidden where the generator's dials are not fitted
    groups: dict[str, Any]  # the folds around them
    expression_group: Any  # the fold around the expressions; hidden as the sliders are
    reset: Any
    neutral: Any
    expression: Any  # by name
    expression_file: Any
    expression_link: Any
    other_photo: Any  # whose expression is taken
    other_view: Any
    pose: Any
    share: Any  # of the expression that was put on last
    others: dict[str, Any]  # an operation each, by its key, that has no controls of its own
    second: Any
    second_view: Any
    cross: Any
    mix_seed: Any
    mix: Any
    history: Any
    gallery: Any
    session_file: Any
    key: Any  # by which a tab finds its work again after it was loaded anew; hidden
    about: Any
    checkpoint: Any
    direction: Any
    tools: Any  # undo, redo, close-up, points, comparing and downloads; hidden while there is nothing to edit
    undo: Any
    redo: Any
    zoom: Any
    placing: Any
    keep_a: Any
    keep_b: Any
    compare: Any
    links: Any

    def dials(self) -> list[Any]:
        """Return the controls that say what is edited, in the order in which `read_dials` takes their values."""
        beside = [self.cross, self.mix_seed, self.mix, self.psi, self.paste, self.region, self.border]
        return [*self.sliders, *beside, *self.measures.values(), *self.others.values()]

    def everything(self) -> list[Any]:
        """Return all of them in a list."""
        found: list[Any] = []
        for value in (getattr(self, item.name) for item in fields(self)):
            found += value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
        return found
