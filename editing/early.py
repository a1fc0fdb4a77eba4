"""What a command can refuse before anything heavy is imported; nothing here needs torch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from glob import has_magic
from os.path import lexists
from pathlib import Path

from editing.operations.base import AUTO, Operation
from editing.operations.transfer import Transfer
from inversion.batch.inputs import MANIFEST
from inversion.config import STARTS, InvertConfig
from stylegan_core.assets import DEFAULT_GENERATOR, embedded_generators, no_such_generator
from stylegan_core.catalogue import read_known, read_texts, shipped_names
from stylegan_core.console import Console
from stylegan_core.errors import CheckpointError, ConfigError, ImageError, OutputError
from stylegan_core.models import is_remote
from stylegan_core.photo_files import photo_problem
from stylegan_core.spelling import suggestion

LATENT = ".npz"


def check_operations(operations: Sequence[Operation]) -> None:
    """Refuse edits that cannot be together: none at all, or two that are looked for."""
    if not operations:
        raise ConfigError("nothing to do: give --transfer NAME, or --transfer-from NEUTRAL EXPRESSION")
    if sum(getattr(operation, "strength", 0) == AUTO for operation in operations) > 1:
        raise ConfigError("only one edit can have the strength auto; give the others numbers, as age:0.5")


def tell_strengths(operations: Sequence[Operation], config: InvertConfig, console: Console) -> list[str]:
    """Warn of strengths beyond which faces are not believable, and return what was said; raises `ConfigError` for
    them if strict."""
    doubts = [text for operation in operations for text in operation.doubts(config.generator)]
    if doubts and config.strict:
        raise ConfigError(f"{'; '.join(doubts)} (refused, since --strict is on)")
    for text in doubts:
        console.warn(text)
    return doubts


def check_setting(config: InvertConfig, photo: str = "") -> None:
    """Refuse a generator or a file that an option names and that is not there; raises `ConfigError`."""
    check_generator_name(config.generator)
    if photo and not Path(photo).is_file():
        raise ConfigError(f"--photo {photo}: no such file; check the path")
    for flag, text, names in (("--encoder", config.encoder, ()), ("--start", config.start, STARTS),
                              ("--mask", config.mask, ())):  # fmt: skip
        if text and text not in names and not is_remote(text) and not Path(text).is_file():
            hint = f"; expected {', '.join(names)}, or a latent" if names else "; check the path"
            raise ConfigError(f"{flag} {text}: no such file{hint}{suggestion(text, names)}")


def check_generator_name(text: str) -> None:
    """Refuse an option's generator that is neither a file, nor embedded, nor to be fetched; raises `ConfigError`."""
    if problem := generator_problem(text):
        raise ConfigError(f"--generator {text}: {problem}")


def check_checkpoint(text: str) -> None:
    """Refuse a checkpoint to work on that is neither a file, nor embedded, nor to be fetched; raises
    `CheckpointError`."""
    if problem := generator_problem(text):
        raise CheckpointError(problem)


def generator_problem(text: str) -> str:
    """Say what keeps a generator from being found; empty where nothing does."""
    path = Path(text).expanduser()
    if is_remote(text) or path.is_file() or text in embedded_generators():
        return ""
    return f"{text} is a folder; name the checkpoint file in it" if path.is_dir() else no_such_generator(text)


def file_problem(text: str) -> str:
    """Say what keeps a file, or a generator by its name, from being looked at; empty where nothing does."""
    return "" if Path(text).exists() else generator_problem(text)


def check_pictures(text: str) -> None:
    """Refuse what is to be pictures and is neither a folder or zip, nor a generator; raises `CheckpointError`."""
    if problem := file_problem(text):
        raise CheckpointError(problem)


def check_batch(out: str) -> None:
    """Refuse a folder that no batch was written to; raises `OutputError`."""
    if not (Path(out) / MANIFEST).is_file():
        raise OutputError(f"{out}: no {MANIFEST} in it; give the --out of a batch")


def check_photos(photos: Sequence[str]) -> None:
    """Refuse a batch's photos where none of them is there, and a recipe among them."""
    for text in photos:
        if Path(text).suffix == ".toml":
            raise ConfigError(f"{text} is no photo; a recipe is given as --recipe {text}")
    if not any(has_magic(text) or lexists(text) for text in photos):
        raise ImageError(f"{photos[0]}: no such file or folder; check the path")


def check_recipe(path: str) -> None:
    """Refuse a recipe that cannot be read or understood; raises `ConfigError`."""
    from editing.recipe import load_recipe

    if path:
        load_recipe(path)


def usable(inputs: Sequence[str], console: Console, problem: Callable[[str], str] = photo_problem) -> list[str]:
    """Name the inputs that cannot be used, and return the others."""
    found = []
    for text in inputs:
        if reason := problem(text):
            console.error(reason if text in reason else f"{text}: {reason}")
        else:
            found.append(text)
    return found


def code_problem(text: str) -> str:
    """Say what keeps a latent, a photo or a seed's number from being read; empty where nothing does."""
    if text.isdigit():
        return ""
    if Path(text).suffix == LATENT:
        return "" if Path(text).is_file() else f"{text}: no such file; check the path"
    return photo_problem(text)


def check_stray_words(inputs: Sequence[str], operations: Sequence[Operation], generator: str) -> None:
    """Refuse inputs that were meant as something else: `--transfer smile 0.5`, or a direction's name."""
    for text in inputs:
        if Path(text).exists():
            continue
        transfers = [item.name for item in operations if isinstance(item, Transfer)]
        if _is_number(text):
            name = transfers[0] if transfers else "smile"
            raise ConfigError(
                f"'{text}' is no file; a strength is written --transfer {name}:{text}, or --strength {text}"
            )
        if text in shipped_names(generator):
            raise ConfigError(f"'{text}' is no file but a direction; give it as --transfer {text}")


def own_generator(inputs: Sequence[str], operations: Sequence[Operation], config: InvertConfig) -> InvertConfig:
    """Return the options with the embedded generator that the latents and directions were made with.

    Where they name several, or one that does not ship, the options stay as they are, and what does not fit is refused
    when it is opened."""
    embedded = {fingerprint: name for name, fingerprint in embedded_generators().items()}
    made_with = {read_texts(Path(text)).get("generator", "") for text in inputs if Path(text).suffix == LATENT}
    for operation in operations:
        files = [file for file in operation.files() if file.suffix == LATENT and file.is_file()]
        known = [read_known(file) for file in files] if isinstance(operation, Transfer) else []
        made_with |= {item.generator for item in known if item}
    names = {embedded[digest] for digest in made_with if digest in embedded}
    if config.generator != DEFAULT_GENERATOR or len(names) != 1:
        return config
    return replace(config, generator=names.pop())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == AUTO
    return True
