"""Write a checkpoint in another format: ours, rosinality's, or a plain state dict with ADA-PyTorch names."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from stylegan_core.checkpoints.assemble import Checkpoint
from stylegan_core.checkpoints.load import find_checkpoint, load_checkpoint
from stylegan_core.checkpoints.native import Description, save_snapshot, write_safetensors
from stylegan_core.checkpoints.rosinality import filter_kernel, to_rosinality
from stylegan_core.errors import CheckpointError, OutputError
from stylegan_core.files import write_atomic
from stylegan_core.networks.build import GeneratorNetwork
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN3Config


def convert(source: str | Path, target: str | Path, form: str = "auto", half: bool = False) -> str:
    """Write the checkpoint `source` (a file, or an embedded name) to `target` and return the form it was written in.

    `form` is one of FORMS; auto takes ours for .safetensors and rosinality's for .pt. `half` stores our own format in
    16 bit, which rounds the values and so changes the fingerprint. A discriminator is kept where the form has one."""
    path = Path(target)
    if form == "auto":
        form = {".safetensors": "native", ".pt": "rosinality", ".pth": "rosinality"}.get(path.suffix, "")
    if form not in FORMS:
        raise OutputError(
            f"{path}: its name tells no format; end it in .safetensors or .pt, or choose {', '.join(FORMS)}"
        )
    if half and form != "native":
        raise OutputError("16 bit storage is for our own format (.safetensors)")
    if path.exists() and path.resolve() == find_checkpoint(source).resolve():
        raise OutputError(f"{path} is the source itself; choose another name")
    FORMS[form](path, load_checkpoint(source), half)
    return form


def to_ada(generator: GeneratorNetwork) -> dict[str, Tensor]:
    """Return a generator's state dict as NVIDIA's StyleGAN2-ADA or StyleGAN3 code loads it, filters included."""
    config, state = generator.config, dict(generator.state_dict())
    if isinstance(config, StyleGAN3Config):
        return state
    if not isinstance(config, StyleGAN2Config) or (config.joint_normalization and config.c_dim):
        raise CheckpointError("only StyleGAN2 and StyleGAN3 generators have a form with ADA-PyTorch names")
    kernel = filter_kernel(config.resample_filter)
    synthesis = generator.synthesis
    assert isinstance(synthesis, nn.Module)
    for name, module in synthesis.named_modules():
        if hasattr(module, "taps"):
            state[f"synthesis.{name}.resample_filter"] = kernel.clone()
    return state


def _write_native(path: Path, checkpoint: Checkpoint, half: bool) -> None:
    meta = checkpoint.meta
    networks: dict[str, nn.Module] = {"": checkpoint.generator}
    if checkpoint.discriminator is not None:
        networks = {"G_ema": checkpoint.generator, "D": checkpoint.discriminator}
    save_snapshot(path, networks, Description(meta.alignment, meta.licence, meta.training), half=half)


def _write_rosinality(path: Path, checkpoint: Checkpoint, half: bool) -> None:
    content = to_rosinality(checkpoint.generator, checkpoint.discriminator)
    write_atomic(path, lambda file: torch.save(content, file))


def _write_ada(path: Path, checkpoint: Checkpoint, half: bool) -> None:
    state = to_ada(checkpoint.generator)
    if path.suffix == ".safetensors":
        write_safetensors(path, state, {})
    else:
        write_atomic(path, lambda file: torch.save(state, file))


FORMS: dict[str, Callable[[Path, Checkpoint, bool], None]] = {
    "native": _write_native,
    "rosinality": _write_rosinality,
    "ada": _write_ada,
}
