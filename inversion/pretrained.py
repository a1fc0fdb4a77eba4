"""A generator, its encoder and the options as one folder, here or on the hub, after huggingface_hub's conventions."""

import json
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from inversion.config import InvertConfig, ProjectionConfig
from stylegan_core.checkpoints.native import Description, save_generator
from stylegan_core.errors import ConfigError, OutputError
from stylegan_core.files import write_atomic, write_text
from stylegan_core.models import local_file
from stylegan_core.networks.build import GeneratorNetwork
from stylegan_core.networks.protocol import Generator

CONFIG = "config.json"
GENERATOR = "generator.safetensors"
FORMAT = 1
MACHINE = ("generator", "encoder", "device", "mask", "start")  # options that say something of a machine, not of a model


@dataclass(frozen=True)
class Pretrained:
    """What a folder says."""

    invert: InvertConfig
    projection: ProjectionConfig


def load_pretrained(
    name: str | Path, revision: str | None = None, local_files_only: bool = False, **options: Any
) -> Pretrained:
    """Read a folder, or OWNER/REPO on the hub at `revision`; `options` go before what it says.

    Raises `ConfigError` for a folder that is none of `save_pretrained`'s, and `WeightsUnavailableError` for the hub."""
    folder = Path(name).expanduser()
    remote = not folder.is_dir()
    if remote:
        folder = _from_hub(str(name), [CONFIG], revision, local_files_only)
    about = read_config(folder / CONFIG)
    files = [file for file in (about["generator"], about["encoder"]) if file]
    if remote:
        folder = _from_hub(str(name), files, revision, local_files_only)
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise ConfigError(f"{folder}: {CONFIG} names {missing[0]}, which is not there; save the folder again")
    invert, projection = dict(about["invert"]), dict(about["projection"])
    for key, value in options.items():
        _place(key, invert, projection)[key] = value
    invert |= {"generator": str(folder / about["generator"])}
    invert |= {"encoder": str(folder / about["encoder"])} if about["encoder"] else {}
    try:
        return Pretrained(InvertConfig(**invert), ProjectionConfig(**projection))
    except TypeError as error:
        raise ConfigError(f"{folder / CONFIG}: {error}; it was written by another version") from None


def save_pretrained(
    folder: str | Path, generator: Generator, invert: InvertConfig, projection: ProjectionConfig
) -> None:
    """Write `generator`, the encoder that `invert` names or that came with it, and the options into `folder`.

    The folder is read by `load_pretrained`, and can be uploaded to the hub as it is."""
    folder = Path(folder)
    if folder.is_file():
        raise OutputError(f"{folder} is a file; give a folder")
    if not isinstance(generator, GeneratorNetwork):
        raise OutputError(f"a {type(generator).__name__} cannot be written to {folder}; load a checkpoint's generator")
    named = invert.encoder or generator.meta.encoder
    source = local_file(named) if named else None
    meta = generator.meta
    save_generator(folder / GENERATOR, generator, Description(meta.alignment, meta.licence, meta.training))
    encoder = f"encoder{source.suffix}" if source else ""
    if source:
        with source.open("rb") as stream:
            write_atomic(folder / encoder, lambda file: shutil.copyfileobj(stream, file))
    kept = {name: value for name, value in asdict(invert).items() if name not in MACHINE}
    about = {
        "invertigo": FORMAT,
        "generator": GENERATOR,
        "encoder": encoder,
        "fingerprint": meta.fingerprint,
        "invert": kept,
        "projection": asdict(projection),
    }
    write_text(folder / "README.md", _card(meta))
    write_text(folder / CONFIG, json.dumps(about, indent=2))


def read_config(path: Path) -> dict[str, Any]:
    """Return what config.json says; raises `ConfigError` where it is missing, damaged, or points out of its folder."""
    try:
        about = json.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path.parent}: no {CONFIG} in it; give a folder written by save_pretrained") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as JSON ({error})") from None
    groups = ("invert", "projection")
    if not isinstance(about, dict) or not all(isinstance(about.get(group), dict) for group in groups):
        raise ConfigError(f"{path}: not a configuration of save_pretrained; 'invert' and 'projection' are expected")
    if about.get("invertigo") != FORMAT:
        raise ConfigError(f"{path}: of format {about.get('invertigo')!r:.20}, {FORMAT} is read here; update Invertigo")
    for name in ("generator", "encoder"):
        file = about.get(name, "")
        plain = isinstance(file, str) and not set(file) & set("/\\\0") and file not in (".", "..")
        if not plain or (name == "generator" and not file):
            raise ConfigError(f"{path}: {name} is {file!r:.80}; the name of a file beside it is expected")
    return {"encoder": "", **about}


def _place(key: str, invert: dict[str, Any], projection: dict[str, Any]) -> dict[str, Any]:
    """Return the group of options that `key` belongs to."""
    for group, config in ((invert, InvertConfig), (projection, ProjectionConfig)):
        if key in {field.name for field in fields(config)}:
            return group
    raise ConfigError(f"from_pretrained: no option '{key}'; those of InvertConfig and ProjectionConfig are known")


def _from_hub(name: str, files: list[str], revision: str | None, local_files_only: bool) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ConfigError(f"{name}: no such folder; give one written by save_pretrained, or OWNER/REPO on the hub")
    from stylegan_core.models.hub import checked, snapshot

    folder = snapshot(name, files, revision, local_files_only)
    for file in files:
        if (folder / file).is_file():
            checked(folder / file, f"hf:{name}/{file}")
    return folder


def _card(meta: Any) -> str:
    """Return the README.md that the hub shows, its header for machines included."""
    return "\n".join(
        [
            "---",
            "library_name: invertigo",
            "tags: [stylegan, gan-inversion]",
            "---",
            f"# {meta.name}",
            "",
            "A generator for Invertigo, with the options it is inverted with:",
            "`invertigo.Inverter.from_pretrained(FOLDER or OWNER/REPO)`.",
            "",
            f"Licence of the weights: {meta.licence or 'not stated in the file'}. Fingerprint: `{meta.fingerprint}`.",
            "",
        ]
    )
