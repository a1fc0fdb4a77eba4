"""NVIDIA's PyTorch pickles (StyleGAN2-ADA, StyleGAN3), and plain state dicts with their names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan_core.checkpoints.assemble import Checkpoint
from stylegan_core.checkpoints.foreign import Weights, finish
from stylegan_core.checkpoints.shapes import Attributes, discriminator_config, stylegan2_config, stylegan3_config
from stylegan_core.checkpoints.unpickle import Record
from stylegan_core.errors import CheckpointError, ConfigError

MAX_DEPTH, MAX_MODULES, MAX_TENSORS = 12, 5_000, 50_000
_LICENCE = re.compile(r"copyright|licen[cs]e", re.IGNORECASE)


def is_nvidia(content: Any) -> bool:
    """Tell whether a pickle's content holds persistent networks: alone, or under the names NVIDIA uses."""
    return isinstance(find_network(content, ("G_ema", "G")), Record)


def find_network(content: Any, names: tuple[str, ...]) -> Any:
    """Return the first of `names` in a pickle's dictionary that is a module, or the content itself if it is one."""
    if isinstance(content, Mapping):
        return next((content[n] for n in names if _is_module(content.get(n))), None)
    return content if _is_module(content) else None


def load_nvidia(path: Path, content: Any) -> Checkpoint:
    """Build what an NVIDIA pickle holds: `G_ema` (or `G`), and `D` where its architecture is known."""
    record = find_network(content, ("G_ema", "G"))
    state, about, licence = flatten(record)
    generator = generator_weights(state, about)
    found = find_network(content, ("D",)) if isinstance(content, Mapping) else None
    discriminator = None
    if found is not None:
        d_state, d_about, _ = flatten(found)
        if "b4.conv.weight" in d_state and "b4.out.weight" in d_state:
            discriminator = Weights(discriminator_config(d_state, d_about), without_filters(d_state))
    return finish(path, "nvidia-pytorch", generator, discriminator, licence)


def load_plain(path: Path, state: Mapping[str, Tensor]) -> Checkpoint:
    """Build the generator of a plain state dict with ADA-PyTorch (or StyleGAN3) names."""
    return finish(path, "ada-state-dict", generator_weights(state, {}))


def generator_weights(state: Mapping[str, Tensor], about: Attributes) -> Weights:
    """Recognise the architecture of a generator's state dict."""
    weights = dict(state)
    try:
        if "synthesis.b4.const" in weights:
            config = stylegan2_config(weights, about)
            return Weights(config, without_filters(weights))
        if "synthesis.input.freqs" in weights:
            return Weights(stylegan3_config(weights, about), weights)
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    raise CheckpointError(
        f"seems to hold a network of {len(weights)} tensors ({', '.join(list(weights)[:4])}, ...), "
        "but neither synthesis.b4.const (StyleGAN2) nor synthesis.input.freqs (StyleGAN3) is there"
    )


def without_filters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out StyleGAN2's resampling filters, which follow from the config."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("resample_filter")}


def flatten(root: Record) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]], str]:
    """Return the tensors and the plain attributes of a module record by name, and the licence lines of its source."""
    tensors: dict[str, Tensor] = {}
    about: dict[str, dict[str, Any]] = {}
    queue: list[tuple[str, Record, int]] = [("", root, 0)]
    while queue:
        name, record, depth = queue.pop()
        if depth > MAX_DEPTH or len(about) + len(queue) > MAX_MODULES or len(tensors) > MAX_TENSORS:
            raise CheckpointError("modules nested deeper, or more of them, than any StyleGAN has")
        values = _members(record.state)
        prefix = f"{name}." if name else ""
        about[name] = {k: v for k, v in values.items() if isinstance(v, (str, int, float, list, type(None)))}
        about[name] |= {"class_name": record.name, "init": _members(values.get("_init_kwargs"))}
        for group in ("_parameters", "_buffers"):
            entries = _members(values.get(group))
            tensors |= {f"{prefix}{k}": v for k, v in entries.items() if isinstance(v, Tensor)}
        children = _members(values.get("_modules"))
        queue.extend((f"{prefix}{k}", child, depth + 1) for k, child in children.items() if isinstance(child, Record))
    source = root.args[0] if root.args and isinstance(root.args[0], str) else ""
    notes = [line.strip("# ").strip() for line in source[:4000].splitlines() if _LICENCE.search(line)]
    return tensors, about, " ".join(notes)[:400]


def _is_module(value: Any) -> bool:
    return isinstance(value, Record) and "_modules" in _members(value.state)


def _members(value: Any) -> dict[str, Any]:
    values = value.items if isinstance(value, Record) else value
    return {k: v for k, v in values.items() if isinstance(k, str)} if isinstance(values, dict) else {}
