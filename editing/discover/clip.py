"""CLIP from a local checkpoint of open_clip: pictures and texts in one space (Radford et al. 2021)."""

import logging
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from inversion.batch.guards import file_sha256
from stylegan_core.errors import ConfigError, one_line
from stylegan_core.spelling import suggestion

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's own training
# A text stands for the mean of its embeddings in sentences like those of captions, which one wording alone would sway.
TEMPLATES = (
    "{}", "a photo of {}.", "a close-up photo of {}.", "a good photo of {}.", "a bright photo of {}.",
    "a dark photo of {}.", "a cropped photo of {}.", "a blurry photo of {}.", "a portrait of {}.",
    "a picture of {}.", "a rendering of {}.", "a painting of {}.",
)  # fmt: skip
SETTINGS = ("input_resolution", "context_length", "vocab_size")  # which OpenAI's files keep among the weights
# What the readers of checkpoints raise for files that are none.
UNREADABLE = (
    pickle.UnpicklingError,
    SafetensorError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    OSError,
    EOFError,
)


@dataclass(frozen=True)
class Clip:
    """A frozen CLIP: `model` has `encode_image` and `encode_text` as open_clip's have."""

    model: nn.Module
    tokenize: Callable[[list[str]], Tensor]  # texts -> [N, length]
    name: str  # of the architecture, as open_clip calls it
    key: str  # SHA-256 of the checkpoint
    size: int = 224  # side of the pictures that it takes
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD

    def images(self, images: Tensor) -> Tensor:
        """Return embeddings [N, D] of length 1 of pictures [N, 3, H, W] in [-1, 1], differentiably."""
        small = F.interpolate(images, size=(self.size, self.size), mode="bicubic", antialias=True, align_corners=False)
        mean, std = (small.new_tensor(numbers)[None, :, None, None] for numbers in (self.mean, self.std))
        return F.normalize(self.model.encode_image((small * 0.5 + 0.5 - mean) / std).float(), dim=-1)  # type: ignore[operator]

    def to(self, device: torch.device | str) -> "Clip":
        """Return it with its model moved to a device, in place."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def text(self, text: str) -> Tensor:
        """Return the mean embedding [D] of a text in `TEMPLATES`, of length 1; raises `ConfigError` for none."""
        tokens = self.tokenize([template.replace("{}", text) for template in TEMPLATES])
        tokens = tokens.to(next(self.model.parameters()).device)
        found = F.normalize(self.model.encode_text(tokens).float(), dim=-1).mean(dim=0)  # type: ignore[operator]
        if not bool(found.isfinite().all()):
            raise ConfigError(f"{self.name} gives '{text}' no finite numbers; its checkpoint is damaged")
        return F.normalize(found, dim=0).cpu()

    def towards(self, target: str, neutral: str) -> Tensor:
        """Return the direction [D] from one text to another, of length 1 (StyleCLIP, Patashnik et al. 2021, section 6);
        raises `ConfigError` where CLIP sees no difference."""
        step = self.text(target) - self.text(neutral)
        if float(step.norm()) < 1e-4:
            raise ConfigError(f"CLIP sees no difference between '{target}' and '{neutral}'; word one of them otherwise")
        return F.normalize(step, dim=0)


def load_clip(path: str, name: str = "") -> Clip:
    """Load a checkpoint of open_clip (.safetensors, or a state dict as .pt and .bin); nothing is ever fetched.

    `name` is the architecture as open_clip calls it; empty: told by the shapes where they fit one alone. Raises
    `ConfigError` for a file that is missing or is none, and without the package."""
    file = clip_path(path)
    return _loaded(str(file), name, file.stat().st_mtime_ns)


def clip_path(path: str) -> Path:
    """Return the file that `--clip` names; raises `ConfigError` where it is not there."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"--clip {path}: no such file; give a local checkpoint of open_clip (nothing is fetched)")
    return file


@lru_cache(maxsize=1)
def _loaded(path: str, name: str, _changed: int) -> Clip:
    try:
        import open_clip
    except ImportError as error:
        raise ConfigError("text needs open_clip, which is not installed; run pip install 'invertigo[clip]'") from error
    state = read_state(path)
    name = name or told_name(
        state, {known: open_clip.get_model_config(known) for known in open_clip.list_models()}, path
    )
    config = open_clip.get_model_config(name)
    if config is None or not _is_own(config):
        known = [one for one in open_clip.list_models() if _is_own(open_clip.get_model_config(one))]
        what = "is unknown to open_clip" if config is None else "is built from files of a hub"
        raise ConfigError(f"--clip-model {name} {what}; expected another, as ViT-B-32{suggestion(name, known)}")
    logging.disable(logging.WARNING)  # which says that the weights are random, as they are for a moment
    try:
        model = open_clip.create_model(name, pretrained=None)
    finally:
        logging.disable(logging.NOTSET)
    shapes = {key: value.shape for key, value in model.state_dict().items() if key.startswith("logit_")}
    state |= {key: state[key].reshape(shape) for key, shape in shapes.items() if key in state and shape.numel() == 1}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f"--clip {path}: its weights are not those of {name} ({one_line(error)})") from error
    side = config["vision_cfg"].get("image_size", 224)
    size = int(side if isinstance(side, int) else side[0])
    return Clip(
        model.eval().requires_grad_(False), open_clip.get_tokenizer(name), name, file_sha256(Path(path)), size
    )  # fmt: skip


def read_state(path: str) -> dict[str, Tensor]:
    """Read a state dict without running anything that is in the file; raises `ConfigError`."""
    try:
        if path.endswith(".safetensors"):
            found: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of TorchScript archives, which are refused
                found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UNREADABLE as error:
        hint = "; save it as a state dict" if "TorchScript" in str(error) else ""
        raise ConfigError(
            f"--clip {path}: no state dict that can be read safely ({one_line(error)[:80]}){hint or _EXPECTED}"
        ) from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise ConfigError(f"--clip {path}: holds no state dict{_EXPECTED}")
    return {str(key).removeprefix("module."): value for key, value in found.items() if key not in SETTINGS}


_EXPECTED = "; expected a checkpoint of open_clip, as .safetensors or a state dict"


def told_name(state: Mapping[str, Tensor], configs: Mapping[str, Any], path: str) -> str:
    """Return the one architecture whose sizes are those of a state dict; raises `ConfigError` for none or several.

    Activations leave no trace in the weights, so that `ViT-B-32` and `ViT-B-32-quickgelu` cannot be told apart."""
    sizes = _sizes(state)
    found = [name for name, config in configs.items() if _is_own(config) and sizes and _asked(config) == sizes]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(found)
        raise ConfigError(f"--clip {path} may be any of {names}; say which with --clip-model (OpenAI's are quickgelu)")
    raise ConfigError(f"--clip {path}: fits no vision transformer of open_clip by its shapes; name it by --clip-model")


def _is_own(config: Mapping[str, Any]) -> bool:
    """Tell whether open_clip builds a model without files of others, from pictures normalised as CLIP's are."""
    texts = config.get("text_cfg", {})
    return "timm_model_name" not in config["vision_cfg"] and not {"hf_model_name", "hf_tokenizer_name"} & texts.keys()


def _sizes(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the sizes of a vision transformer with its text transformer; nothing for a state dict of anything else."""
    patches, places = state.get("visual.conv1.weight"), state.get("visual.positional_embedding")
    words, projection = state.get("token_embedding.weight"), state.get("text_projection")
    if patches is None or places is None or words is None or projection is None or "logit_scale" not in state:
        return ()
    if any(key.startswith("text_decoder.") for key in state) or not all(t.ndim for t in (patches, places, words)):
        return ()
    layers = [_count(state, rf"{where}transformer\.resblocks\.(\d+)\.") for where in (r"visual\.", "")]
    side = round((len(places) - 1) ** 0.5) * patches.shape[-1]
    return (projection.shape[-1], len(patches), patches.shape[-1], side, layers[0], *words.shape, layers[1])


def _asked(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the sizes that a configuration asks for, in the order of `_sizes`."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    layers, side = vision.get("layers"), vision.get("image_size", 224)
    if not isinstance(layers, int) or not isinstance(side, int) or "multimodal_cfg" in config:
        return ()
    patch = vision.get("patch_size", 16)
    sizes = (config["embed_dim"], vision["width"], patch, side // patch * patch, layers)
    return (*sizes, text.get("vocab_size", 49408), text.get("width", 512), text.get("layers", 12))


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({found[1] for key in state if (found := re.match(pattern, key))})
