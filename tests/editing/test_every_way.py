"""Each kind of direct editing is said in the same words: on the command line, in recipes, the studio and Python."""

import json

import pytest
import torch

import invertigo
from editing.operations.base import Operation
from editing.operations.words import EditWords
from editing.recipe import Recipe, format_recipe, parse_recipe
from editing.studio.dials import Dials
from editing.video import resolve_steady
from stylegan_core.directions import Direction, save_direction
from stylegan_core.styles import style_layers

# The option, what it is given, and the operation's own name in Python.
WORDS = [
    ("set", "eyes-open=0.3,yaw=8", "SetMeasures"), ("expression", "neutral", "SetExpression"),
    ("expression", "FILE.json", "SetExpression"), ("drag", "100,120:104,118", "Drag"),
    ("transfer", "CHANNELS.npz:0.5", "Transfer"), ("transfer", "smile:0.5", "Transfer"),
    ("text", "a person: smiling:0.5", "Text"),
]  # fmt: skip


@pytest.fixture
def words(request, faces64, tmp_path):
    """The words, with an expression's file and a direction of channels in the place of their names."""
    layer, module = next(iter(style_layers(faces64).items()))
    still, meta = torch.zeros(1, 1, faces64.w_dim), faces64.meta
    few = Direction("few", still, meta.fingerprint, meta.name, styles={layer: torch.ones(len(module.bias))})
    save_direction(tmp_path / "few.npz", few)
    grin = {"format": "invertigo expression", "name": "grin", "measures": {"mouth-width": 0.9}}
    (tmp_path / "grin.json").write_text(json.dumps(grin))
    names = {"FILE.json": tmp_path / "grin.json", "CHANNELS.npz": tmp_path / "few.npz"}
    return lambda text: next((text.replace(key, str(path)) for key, path in names.items() if key in text), text)


@pytest.mark.parametrize("keep", ["", "border"])
@pytest.mark.parametrize(("key", "text", "name"), WORDS)
def test_a_direct_edit_is_the_same_operation_every_way(key, text, name, keep, words, faces64):
    text = words(text)
    (said,) = EditWords({key: (text,)}, {"keep": keep} if keep else {}).operations()
    assert type(said) is getattr(invertigo, name) and issubclass(type(said), Operation)
    assert parse_recipe(format_recipe(Recipe(edits=(said,)))).edits == (said,)
    entry = {"set": {"measures": (("eyes-open", 0.3), ("yaw", 8.0))}, "transfer": {"strengths": ((said.transfer, 0.5),)}
             if key == "transfer" else {}}.get(key, {"others": ((key, text),)})  # fmt: skip
    if key != "expression":  # which the studio puts on as the measures of `set`
        assert Dials(border=bool(keep), **entry).operations() == (said,)
    if key == "text":
        return  # tests/editing/test_text.py resolves one, by a CLIP
    (frame,) = resolve_steady([said], faces64, lambda code: code)
    assert frame.steady
