"""From what a user writes, NAME|FILE|URL|hf:OWNER/REPO/FILE[@REVISION], to a file on this machine."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stylegan_core.errors import CheckpointError, WeightsUnavailableError
from stylegan_core.locking import waiting_for
from stylegan_core.models.cache import (
    FOLDER_VARIABLE,
    RECORD,
    FetchRecord,
    cache_folder,
    check,
    read_record,
    record_path,
    sha256_of,
    write_record,
)
from stylegan_core.models.fetch import MAX_BYTES, check_https, download
from stylegan_core.models.hub import resolve_hub
from stylegan_core.models.registry import MODELS, Model

PAGES = ("drive.google.com", "docs.google.com", "www.dropbox.com", "mega.nz", "1drv.ms", "pan.baidu.com")


def resolve(text: str) -> Path:
    """Return the file of a URL, a hub name or a public model's name, fetched where it is not here, and checked.

    A public model's name gives what `fetch` brought; raises `WeightsUnavailableError` where it did not yet."""
    if text.startswith("hf:"):
        return resolve_hub(text)
    if "://" in text:
        return _from_url(text)
    model = MODELS[text]
    path = cache_folder() / model.file_name
    if path.is_file():
        return _checked(path, model)
    how = f"invertigo models fetch {text} --accept-licence" if model.url else _by_hand(model)
    raise WeightsUnavailableError(f"{text} ({model.what}) is not on this machine yet: {how}")


def fetch(name: str, accept_licence: bool, say: Callable[[str], None]) -> Path:
    """Bring a public model into the cache and return its file; the licence is shown first and must be accepted."""
    model = MODELS.get(name)
    if model is None:
        raise WeightsUnavailableError(f"no public model '{name}' is known; `invertigo models list` names {len(MODELS)}")
    say(f"{name}: {model.what}; licence: {model.licence}; about {model.megabytes} MB")
    path = cache_folder() / model.file_name
    if path.is_file():
        return _checked(path, model)
    if not model.url:
        raise WeightsUnavailableError(f"{name}: {_by_hand(model)}")
    if not accept_licence:
        raise WeightsUnavailableError(f"{name}: its licence is {model.licence}; add --accept-licence if you accept it")
    _bring(model.url, path, model.max_bytes, model.licence)
    return path


def verify(say: Callable[[str], None]) -> list[str]:
    """Check every file in the cache against its record; return what is wrong, a sentence each."""
    wrong, folder = [], cache_folder()
    named = [record.with_name(record.name.removesuffix(RECORD)) for record in sorted(folder.rglob(f"*{RECORD}"))]
    paths = [path for path in named if path.is_file()]
    if not paths:
        say(f"nothing was fetched into {folder} yet")
    for path in paths:
        try:
            found = check(path)
            say(f"{path.name}: as it was on {found.fetched if found else '?'}")
        except CheckpointError as error:
            wrong.append(str(error))
    return wrong


def list_models() -> list[str]:
    """Return a line for each public model: name, what, resolution, licence, size, and whether it is here."""
    lines = [f"kept in {cache_folder()} (set {FOLDER_VARIABLE} to move it)"]
    for model in MODELS.values():
        there = (cache_folder() / model.file_name).is_file()
        state = "here" if there else ("fetch" if model.url else "by hand")
        size = f"{model.resolution} px" if model.resolution else "any size"
        lines.append(
            f"{model.name:22} {state:8} {model.what}; {model.kind}, {size}, about {model.megabytes} MB; {model.licence}"
        )
    return lines


def _from_url(url: str) -> Path:
    check_https(url)
    parts = urlsplit(url)
    if parts.hostname in PAGES:
        name = next((model.file_name for model in MODELS.values() if model.page and model.page in url), "the file")
        raise WeightsUnavailableError(
            f"{url}: a page for people, not a file; fetch {name} there in a browser and put it into {cache_folder()}, "
            "or give its path"
        )
    name = unquote(parts.path).rpartition("/")[2].replace("\\", "_")[-80:].lstrip(".") or "file"
    path = cache_folder() / "urls" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name}"
    if path.is_file():
        check(path)
        return path
    _bring(url, path, MAX_BYTES, "")
    return path


def _bring(url: str, path: Path, max_bytes: int, licence: str) -> None:
    """Download `url` to `path`, one process at a time, and hold it against the record of an earlier fetch."""
    with waiting_for(path.with_name(f".{path.name}.lock")):
        if path.is_file():  # another process was faster
            check(path)
            return
        fresh = path.with_name(f"{path.name}.new")
        download(url, fresh, max_bytes)
        earlier = read_record(path)
        if earlier is not None and sha256_of(fresh) != earlier.sha256:
            fresh.unlink()
            raise CheckpointError(
                f"{url}: another file than on {earlier.fetched} (SHA-256 {earlier.sha256[:16]}...); nothing is kept: "
                f"if the change is known to be right, delete {record_path(path)} and fetch again"
            )
        fresh.replace(path)
        if earlier is None:
            write_record(path, url, licence)


def _checked(path: Path, model: Model) -> Path:
    """Check a file in the cache; one that was put there by hand is recorded when it is first seen."""
    record: FetchRecord | None = check(path)
    if record is None:
        write_record(path, model.url or model.page, model.licence)
    return path


def _by_hand(model: Model) -> str:
    return (
        f"its authors keep {model.file_name} on a page that asks a person; fetch it at {model.page} and put it into "
        f"{cache_folder()}"
    )
