"""The nodes by ComfyUI's documented interface, without ComfyUI: they give the pixels that the command writes."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import cli
from stylegan_core.errors import ConfigError

FOLDER = Path(__file__).resolve().parent.parent.parent / "comfyui"


@pytest.fixture(scope="module")
def nodes():
    """Load the folder as ComfyUI loads one in custom_nodes: by its path, under a name of its own."""
    spec = importlib.util.spec_from_file_location(
        "custom_nodes_invertigo", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.NODE_CLASS_MAPPINGS


def execute(node, **inputs):
    """Check the inputs against INPUT_TYPES, fill in defaults, and call FUNCTION, as ComfyUI's executor does."""
    declared = node.INPUT_TYPES()
    kinds = {**declared["required"], **declared.get("optional", {})}
    assert set(inputs) <= set(kinds)
    for name, kind in kinds.items():
        if name not in inputs and name in declared["required"]:
            default = kind[1].get("default") if len(kind) > 1 else kind[0][0]
            inputs[name] = default
        if name in inputs and isinstance(kind[0], list):
            assert inputs[name] in kind[0]
    with torch.inference_mode():  # around every node, and no gradient is had in it
        outputs = getattr(node(), node.FUNCTION)(**inputs)
    assert isinstance(outputs, tuple) and len(outputs) == len(node.RETURN_TYPES)
    for kind, output in zip(node.RETURN_TYPES, outputs, strict=True):
        if kind == "IMAGE":
            assert output.dtype == torch.float32 and output.ndim == 4 and output.shape[3] == 3
            assert float(output.min()) >= 0 and float(output.max()) <= 1
    return outputs


def pixels(image):
    """What ComfyUI's own SaveImage writes."""
    return np.clip(255.0 * image[0].numpy(), 0, 255).astype(np.uint8)


def test_the_nodes_give_the_command_s_pixels(nodes, astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "me.png")
    command = ["edit", str(tmp_path / "me.png"), "--transfer", "smile:0.8", "--steps", "5", "--device", "cpu"]
    command += ["--generator", "faces64", "--paste", "delta", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    loaded = torch.from_numpy(astronaut.astype(np.float32) / 255.0)[None]  # as ComfyUI's LoadImage
    (model,) = execute(nodes["InvertigoLoadModel"], generator="faces64", device="cpu")
    face, _ = execute(nodes["InvertigoInvert"], model=model, image=loaded, steps=5)
    face, edited = execute(nodes["InvertigoEdit"], face=face, direction="smile", strength=0.8)
    (whole,) = execute(nodes["InvertigoPaste"], face=face, mode="delta")
    written = tmp_path / "out/me/face0"
    for image, name in ((edited, "edited.png"), (whole, "photo_edited.png")):
        assert (pixels(image) == np.asarray(Image.open(written / name))).all(), name


def test_what_the_nodes_cannot_take_is_a_sentence(nodes, astronaut):
    (model,) = execute(nodes["InvertigoLoadModel"], generator="faces64", device="cpu")
    image = torch.from_numpy(astronaut.astype(np.float32) / 255.0)[None]
    with pytest.raises(ConfigError, match="take them one by one"):
        execute(nodes["InvertigoInvert"], model=model, image=image.repeat(2, 1, 1, 1), steps=0)
    face, _ = execute(nodes["InvertigoInvert"], model=model, image=image, steps=0)
    with pytest.raises(ConfigError, match="nothing was edited yet"):
        execute(nodes["InvertigoPaste"], face=face)
    with pytest.raises(ConfigError, match="no direction 'frown'"):
        execute(nodes["InvertigoEdit"], face=face, direction="frown")
    sideways = torch.zeros(1, 64, 64, 3)
    with pytest.raises(Exception, match="face"):
        execute(nodes["InvertigoInvert"], model=model, image=sideways, steps=0)


def test_every_node_has_a_title_and_a_place(nodes):
    module = sys.modules["custom_nodes_invertigo"]
    assert set(module.NODE_DISPLAY_NAME_MAPPINGS) == set(nodes)
    assert {node.CATEGORY for node in nodes.values()} == {"invertigo"}
