"""Edits towards a text: a CLIP with open_clip's interface, the table of what it sees channels do, the operation."""

import json
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

import cli
from editing.codes import open_code
from editing.discover.clip import Clip, load_clip, told_name
from editing.discover.text_channels import (
    TextTable,
    check_clip,
    check_text_channels,
    clip_ways,
    fit_text_channels,
    found_text_table,
    load_text_channels,
    own_text_file,
    save_text_channels,
)
from editing.editor import Editor
from editing.operations.text import Text
from editing.operations.transfer import Transfer
from editing.recipe import parse_recipe
from editing.video import resolve_steady
from inversion.latents import load_latent, save_latent
from stylegan_core.errors import ConfigError, LatentError
from stylegan_core.models.cache import FOLDER_VARIABLE
from stylegan_core.styles import style_layers

SIDE = 16


class Colours(nn.Module):
    """Sees the mean of red, green and blue, and a fourth thing that nothing shows; reads two words."""

    def __init__(self):
        super().__init__()
        self.words = nn.Parameter(torch.tensor([[0.0, 0, 0, 1], [1.0, 1, 1, 1], [1.0, 0, 0, 1]]))  # [word, D]

    def encode_image(self, images):
        assert images.shape[1:] == (3, SIDE, SIDE)
        return torch.cat([images.mean(dim=(2, 3)), images.new_ones(len(images), 1)], dim=1)

    def encode_text(self, tokens):
        return self.words[tokens[:, 0]]


def tokenize(texts):
    return torch.tensor([[1 if "brighter" in text else 2 if "red" in text else 0] for text in texts])


def a_clip():
    return Clip(Colours().requires_grad_(False), tokenize, "colours", "c" * 64, SIDE, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture
def open_clip(monkeypatch):
    """A module that has what is used of open_clip."""
    module = ModuleType("open_clip")
    config = {"embed_dim": 4, "vision_cfg": {"image_size": SIDE}, "text_cfg": {}}
    hub = {**config, "text_cfg": {"hf_tokenizer_name": "somebody/tokens"}}
    configs = {"colours": config, "from-hub": hub}
    module.list_models = lambda: list(configs)
    module.get_model_config = configs.get
    module.create_model = lambda name, pretrained: Colours()
    module.get_tokenizer = lambda name: tokenize
    monkeypatch.setitem(sys.modules, "open_clip", module)
    return module


@pytest.fixture
def clip_file(tmp_path):
    save_file(Colours().state_dict(), tmp_path / "colours.safetensors")
    return str(tmp_path / "colours.safetensors")


def a_table(generator, samples=1):
    """What the first two channels of one layer do: one brightens, the other goes where only a text goes."""
    layers = tuple((name, len(layer.bias)) for name, layer in style_layers(generator).items())
    ways, deviations = (torch.zeros(sum(size for _, size in layers), n) for n in (4, 1))
    ways[:3] = torch.tensor([[1.0, 1, 1, 0], [0.02, 0.02, 0.02, 0], [1.0, 0, 0, 0]]) / 3**0.5
    meta = generator.meta
    return TextTable(
        meta.fingerprint, meta.name, "c" * 64, "colours", "", layers, samples, ways, deviations[:, 0] + 0.5
    )  # fmt: skip


def test_a_text_moves_channels_by_their_cosine_with_it(faces64):
    table, towards = a_table(faces64), torch.tensor([1.0, 1, 1, 0]) / 3**0.5
    styles, most, num = table.styles(towards, 0.1)
    ((layer, step),) = styles.items()
    assert layer == table.layers[0][0] and most == pytest.approx(1.0) and num == 2
    expected = torch.zeros(len(step))
    expected[0], expected[2] = 3 * 0.5, 3 * 0.5 / 3  # cosines of 1 and 1/3, in deviations of .5; the second is left out
    assert_close(step, expected)
    assert table.styles(towards, 0.0)[2] == 3 and table.styles(-towards, 0.5)[0][layer][0] == pytest.approx(-1.5)
    with pytest.raises(ConfigError, match=r"nearest by 0\.000.*--text-threshold 0\.1"):
        table.styles(torch.tensor([0.0, 0, 0, 1]), 0.1)
    images = table.layers.index(next(item for item in table.layers if "torgb" in item[0]))
    first = sum(size for _, size in table.layers[:images])
    assert not bool(table.moved[first]) and bool(table.moved[0])


def test_ways_are_those_of_small_steps(faces64):
    clip, ws = a_clip(), open_code("5", faces64).ws
    ways = clip_ways(faces64, clip, ws, 0)
    layers = style_layers(faces64)
    assert ways.shape == (sum(len(layer.bias) for layer in layers.values()), 4)
    name, place = next(iter(layers)), 0
    channel = int(ways[: len(layers[name].bias), 0].abs().argmax())
    changed = []
    for way in (1.0, -1.0):
        step = torch.zeros(len(layers[name].bias))
        step[channel] = 0.02 * way
        hook = layers[name].register_forward_hook(lambda module, inputs, output, step=step: output + step)
        with torch.no_grad():
            changed.append(clip.images(faces64.synthesis(ws).clamp(-1, 1))[0])
        hook.remove()
    expected = nn.functional.normalize(changed[0] - changed[1], dim=0)
    assert_close(ways[place + channel], expected, atol=0.05, rtol=0)
    assert_close(ways.norm(dim=1)[:64], torch.ones(64), atol=1e-3, rtol=0)  # 4 dimensions are seen whole


def test_brighter_brightens_and_a_film_and_a_recipe_say_it_in_the_same_words(
    faces64, open_clip, clip_file, tmp_path, monkeypatch
):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    clip = load_clip(clip_file, "colours")
    whole = fit_text_channels(faces64, clip, clip_file, own_text_file(faces64, clip), 2)
    fit_text_channels(faces64, clip, clip_file, tmp_path / "parts.npz", 1)
    parts = fit_text_channels(faces64, clip, clip_file, tmp_path / "parts.npz", 2)
    assert_close(parts.ways, whole.ways, atol=1e-3, rtol=1e-3)
    editor = Editor(faces64, open_code("3", faces64))
    for strength, sign in ((1.0, 1), (-1.0, -1)):
        face = editor.apply(Text("brighter", strength=strength))
        assert sign * float((face.edited - face.inverted).mean()) > 0.02
        assert "moves" in face.notes[0] and face.latent.report["edits"][0]["strength"] == strength
    change = (editor.apply(Text("red", clip=clip_file)).edited - face.inverted).mean(dim=(0, 2, 3))
    assert float(change[0]) > 0 and float(change[0]) > float(change[1:].max())
    words = '[[edit]]\ntext = "brighter"\nstrength = 0.5\ntext_threshold = 0.2\n'
    (said,) = parse_recipe(words).edits
    assert said == Text.parse("brighter:0.5", text_threshold=0.2, layers="4-7")
    assert resolve_steady([said], faces64, lambda text: text)[0].steady
    save_latent(tmp_path / "a.npz", open_code("3", faces64))
    command = ["edit", tmp_path / "a.npz", "--text", "brighter", "--clip", clip_file, "--out", tmp_path / "out"]
    result = CliRunner().invoke(cli.main, [str(word) for word in command])
    assert result.exit_code == 0, result.output
    latent = load_latent(tmp_path / "out" / "a" / "face0" / "latent.npz")
    assert latent.styles and "brighter 1" in result.output
    assert json.loads((tmp_path / "out" / "a" / "face0" / "report.json").read_text())["edits"][0]["channels"] > 0


def test_a_text_may_have_colons():
    for said, text, strength in (
        ("person: beard", "person: beard", 1.0), ("person: beard:0.5", "person: beard", 0.5),
        ("12:30 o'clock", "12:30 o'clock", 1.0), ("a: b: -2", "a: b", -2.0), ("beard:auto", "beard", "auto"),
        ("person:", "person:", 1.0),
    ):  # fmt: skip
        read = Text.parse(said)
        assert (read.text, read.strength) == (text, strength)
    with pytest.raises(ConfigError, match="no number"):
        Transfer.parse("smile: much")


def test_the_clip_that_a_table_of_a_file_names_is_not_opened(faces64, open_clip, clip_file, tmp_path):
    clip = load_clip(clip_file, "colours")
    save_text_channels(tmp_path / "t.npz", replace(a_table(faces64), clip_file=clip_file, clip=clip.key))
    with pytest.raises(ConfigError, match=r"add --clip FILE"):
        Text("brighter", text_table=str(tmp_path / "t.npz"))
    words = f'[[edit]]\ntext = "brighter"\ntext_table = "{tmp_path / "t.npz"}"\n'
    with pytest.raises(ConfigError, match=r"line 3: .*add --clip FILE"):
        parse_recipe(words)
    edited = parse_recipe(words + f'clip = "{clip_file}"\n').edits[0].resolve(faces64, lambda text: text)
    assert edited.steady


def test_what_is_missing_is_said(faces64, open_clip, clip_file, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match=r"--clip none\.pt: no such file.*nothing is fetched"):
        load_clip("none.pt")
    with pytest.raises(ConfigError, match="`invertigo channels fit --clip FILE`"):
        found_text_table(faces64)
    with pytest.raises(ConfigError, match="--judge"):
        Text("brighter", strength="auto").check("faces64")
    with pytest.raises(ConfigError, match="too large"):
        Text("brighter", text_threshold=2.0)
    with pytest.raises(ConfigError, match="says nothing"):
        Text("brighter", text_neutral=" ")
    with pytest.raises(ConfigError, match="built from files of a hub"):
        load_clip(clip_file, "from-hub")
    with pytest.raises(ConfigError, match="unknown to open_clip"):
        load_clip(clip_file, "colour")
    with pytest.raises(ConfigError, match="no difference between"):
        load_clip(clip_file, "colours").towards("a dog", "a cat")
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="its weights are not those of colours"):
        load_clip(str(tmp_path / "other.safetensors"), "colours")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    save_file(Colours().state_dict(), tmp_path / "again.safetensors")
    with pytest.raises(ConfigError, match=r"invertigo\[clip\]"):
        load_clip(str(tmp_path / "again.safetensors"))


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_files_of_strangers_are_read_without_running_them(open_clip, tmp_path, capsys):
    torch.save({"words": Evil()}, tmp_path / "evil.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    torch.save({"state_dict": {"module.words": Colours().words.detach()}}, tmp_path / "good.bin")
    (tmp_path / "half.safetensors").write_bytes(b"\xff" * 40)
    for name, reason in (("evil.pt", "read safely"), ("list.pt", "no state dict"), ("half.safetensors", "read safely")):
        with pytest.raises(ConfigError, match=reason):
            load_clip(str(tmp_path / name), "colours")
    assert "run" not in capsys.readouterr().out
    assert load_clip(str(tmp_path / "good.bin"), "colours").size == SIDE


def test_the_state_of_openai_s_files_is_read_as_open_clip_reads_it(open_clip, tmp_path):
    class Scaled(Colours):
        def __init__(self):
            super().__init__()
            self.logit_scale = nn.Parameter(torch.zeros(1))

    open_clip.create_model = lambda name, pretrained: Scaled()
    settings = {name: torch.tensor(7) for name in ("input_resolution", "context_length", "vocab_size")}
    state = {"words": Colours().words.detach().half(), "logit_scale": torch.tensor(4.6), **settings}
    torch.save(state, tmp_path / "openai.pt")
    clip = load_clip(str(tmp_path / "openai.pt"), "colours")
    assert float(clip.model.logit_scale[0]) == pytest.approx(4.6) and clip.model.words.dtype == torch.float32


def test_a_table_knows_its_generator_and_its_clip(faces64, tmp_path):
    table = a_table(faces64, 7)
    save_text_channels(tmp_path / "t.npz", table)
    assert load_text_channels(tmp_path / "t.npz").samples == 7
    check_text_channels(table, faces64, "t.npz")
    with pytest.raises(ConfigError, match="generator here is faces64"):
        check_text_channels(replace(table, generator="f" * 64), faces64, "t.npz")
    check_clip(table, a_clip(), "t.npz")
    with pytest.raises(ConfigError, match=r"the CLIP here is colours .cccc"):
        check_clip(replace(table, clip="d" * 64), a_clip(), "t.npz")
    save_text_channels(tmp_path / "nan.npz", replace(table, ways=table.ways + float("nan")))
    with pytest.raises(LatentError, match="not finite"):
        load_text_channels(tmp_path / "nan.npz")


def test_an_architecture_is_told_by_its_shapes():
    def state(width, layers):
        blocks = {
            f"{where}transformer.resblocks.{i}.x": torch.zeros(1) for where in ("visual.", "") for i in range(layers)
        }
        return blocks | {
            "visual.conv1.weight": torch.zeros(width, 3, 8, 8), "visual.positional_embedding": torch.zeros(17, width),
            "token_embedding.weight": torch.zeros(50, 6), "text_projection": torch.zeros(6, 5),
            "logit_scale": torch.zeros(()),
        }  # fmt: skip

    def config(width, layers):
        vision = {"image_size": 32, "layers": layers, "width": width, "patch_size": 8}
        return {"embed_dim": 5, "vision_cfg": vision, "text_cfg": {"vocab_size": 50, "width": 6, "layers": layers}}

    known = {"small": config(4, 2), "large": config(8, 2)}
    assert told_name(state(8, 2), known, "x") == "large"
    with pytest.raises(ConfigError, match="any of small, small-quickgelu"):
        told_name(state(4, 2), {**known, "small-quickgelu": config(4, 2)}, "x")
    for wrong in (state(4, 3), {"x": torch.zeros(1)}):
        with pytest.raises(ConfigError, match="--clip-model"):
            told_name(wrong, known, "x")


@pytest.mark.slow
def test_a_real_open_clip_is_loaded_and_its_table_edits(faces64, tmp_path, monkeypatch):
    real = pytest.importorskip("open_clip")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    torch.manual_seed(0)
    save_file(real.create_model("ViT-S-32-alt", pretrained=None).state_dict(), tmp_path / "small.safetensors")
    clip = load_clip(str(tmp_path / "small.safetensors"))
    assert clip.name == "ViT-S-32-alt" and clip.size == 224
    fit_text_channels(faces64, clip, str(tmp_path / "small.safetensors"), own_text_file(faces64, clip), 1)
    face = Editor(faces64, open_code("3", faces64)).apply(Text("a person with a beard", text_threshold=0.0))
    assert face.latent.styles and not torch.equal(face.edited, face.inverted)
