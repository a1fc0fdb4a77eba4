"""Our format: one safetensors file, its config and what is known of it as JSON in the header."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from stylegan_core.checkpoints.assemble import Checkpoint, assemble, fingerprint
from stylegan_core.checkpoints.nvidia import load_plain
from stylegan_core.errors import CheckpointError, ConfigError
from stylegan_core.files import write_atomic
from stylegan_core.networks.build import GeneratorNetwork
from stylegan_core.networks.configs import config_from_dict, config_to_dict
from stylegan_core.networks.protocol import Alignment, CheckpointMeta

FORMAT = "invertigo-1"
GENERATOR_PREFIXES = ("G_ema.", "G.")  # in order of preference; a bare generator has none
DISCRIMINATOR_PREFIX = "D."


@dataclass(frozen=True)
class Description:
    """What a file says of its generator beside the weights."""

    alignment: Alignment = field(default_factory=Alignment)
    licence: str = ""  # licence note of the weights
    training: Mapping[str, Any] | None = None  # JSON values: kimg, data, augment_p, ...


def save_generator(
    path: str | Path, generator: GeneratorNetwork, about: Description | None = None, half: bool = False
) -> str:
    """Write a bare generator and return its fingerprint; `half` stores 16 bit (and rounds the values).

    Without `about`, what `generator.meta` knows is kept. The file appears whole or not at all."""
    if about is None:
        meta: CheckpointMeta | None = getattr(generator, "meta", None)
        about = Description(meta.alignment, meta.licence, meta.training) if meta else Description()
    return save_snapshot(path, {"": generator}, about, half=half)


def save_snapshot(
    path: str | Path,
    networks: Mapping[str, nn.Module],
    about: Description,
    extra: Mapping[str, Tensor] | None = None,
    half: bool = False,
) -> str:
    """Write several networks by prefix (`{"G_ema": ..., "G": ..., "D": ...}`) and `extra` tensors into one file.

    Returns the fingerprint of the generator that `load_generator` will return: `G_ema` where there is one."""
    tensors: dict[str, Tensor] = dict(extra or {})
    for prefix, network in networks.items():
        for name, tensor in network.state_dict().items():
            stored = tensor.detach().to("cpu")
            tensors[f"{prefix}.{name}" if prefix else name] = stored.half() if half else stored.float()
    generator = next(networks[prefix] for prefix in ("", "G_ema", "G") if prefix in networks)
    state = generator.state_dict()
    digest = fingerprint({name: tensor.half() for name, tensor in state.items()} if half else state)
    header = {
        "format": FORMAT,
        "config": json.dumps(config_to_dict(generator.config)),
        "alignment": json.dumps(asdict(about.alignment)),
        "training": json.dumps(dict(about.training or {})),
        "licence": about.licence,
        "fingerprint": digest,
    }
    if "D" in networks:
        header["discriminator"] = json.dumps(config_to_dict(networks["D"].config))
    write_safetensors(Path(path), tensors, header)
    return digest


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write a safetensors file; it appears whole or not at all."""
    content = save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, dict(header))
    write_atomic(path, lambda file: file.write(content))


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the header's metadata of a safetensors file.

    Tensors are copied to aligned memory: in the file they lie at any address, where some kernels round differently, and
    a search or a training that goes on has to come to the same end."""
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error}); it may be truncated") from None


def load_safetensors(path: Path) -> Checkpoint:
    """Read a file of ours, or a plain state dict with ADA-PyTorch names."""
    tensors, header = read_safetensors(path)
    if "config" not in header:
        return load_plain(path, tensors)
    values = _json(path, header, "config")
    own = _json(path, header, "alignment")
    alignment = _alignment(path, {key: own.get(key, values.pop(key, None)) for key in ("crop_scale", "crop_shift")})
    state, rest = _split(tensors)
    try:
        config = config_from_dict({key: value for key, value in values.items() if not key.startswith("crop_")})
        generator: Any = assemble(config, state, f"{path} (generator)")
        discriminator = None
        if "discriminator" in header:
            theirs = {n.removeprefix(DISCRIMINATOR_PREFIX): rest.pop(n) for n in list(rest) if n.startswith("D.")}
            d_config = config_from_dict(_json(path, header, "discriminator"))
            discriminator = assemble(d_config, theirs, f"{path} (discriminator)")
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    digest = fingerprint(generator.state_dict())
    if header.get("fingerprint", digest) != digest:
        raise CheckpointError(f"{path}: the weights are not those the file was written with (fingerprint differs)")
    training = _json(path, header, "training") or {key: header[key] for key in ("kimg", "data") if key in header}
    generator.meta = CheckpointMeta(path.stem, "native", digest, alignment, header.get("licence", ""), training)
    return Checkpoint(generator, discriminator, config, generator.meta, rest)


def _split(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Divide a file's tensors into the generator's state and the rest."""
    for prefix in GENERATOR_PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            state = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            return state, {n: t for n, t in tensors.items() if not n.startswith(prefix)}
    return dict(tensors), {}


def _alignment(path: Path, values: Mapping[str, Any]) -> Alignment:
    given = {key: value for key, value in values.items() if value is not None}
    if not all(isinstance(value, (int, float)) and abs(value) < 10 for value in given.values()):
        raise CheckpointError(f"{path}: the alignment in its header is {given}; numbers are expected")
    return Alignment(**given)


def _json(path: Path, header: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(header.get(key, "{}"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path}: the header's {key} is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: the header's {key} is no JSON object")
    return value
