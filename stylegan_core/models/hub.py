"""Files and folders on the Hugging Face hub, by `huggingface_hub`; and each checked by SHA-256 ever after."""

import re
from pathlib import Path
from typing import Any

from stylegan_core.errors import WeightsUnavailableError
from stylegan_core.models.cache import cache_folder, check, write_record

NAME = re.compile(r"hf:([\w.-]+/[\w.-]+)/([^@]+?)(?:@([\w./-]+))?")


def resolve_hub(text: str) -> Path:
    """Return the file that hf:OWNER/REPO/FILE[@REVISION] names, fetched where it is not here; raises for all else."""
    found = NAME.fullmatch(text)
    if found is None or any(part in ("", ".", "..") for part in found[2].split("/")):
        raise WeightsUnavailableError(f"{text}: not a file on the hub; expected hf:OWNER/REPO/FILE or ...@REVISION")
    repo, file, revision = found.groups()
    return checked(Path(_ask("hf_hub_download", text, repo_id=repo, filename=file, revision=revision)), text)


def snapshot(repo: str, files: list[str], revision: str | None, local_only: bool) -> Path:
    """Return the folder of a hub repository with those of its files that match `files`."""
    return Path(
        _ask("snapshot_download", repo, repo_id=repo, allow_patterns=files, revision=revision,
             local_files_only=local_only)
    )  # fmt: skip


def checked(path: Path, source: str) -> Path:
    """Hold a file of the hub's cache, which lies under its commit, against its SHA-256 of the first time."""
    if check(path) is None:
        write_record(path, source)
    return path


def _ask(function: str, what: str, **arguments: Any) -> str:
    """Call `huggingface_hub`, its failures as sentences."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
        from huggingface_hub.utils import logging
    except ImportError:
        raise WeightsUnavailableError(
            f"{what}: the hub needs huggingface_hub, which is not installed; run pip install 'invertigo[hub]'"
        ) from None
    logging.set_verbosity_error()  # it tells of each time that it asks again
    try:
        found: str = getattr(huggingface_hub, function)(cache_dir=cache_folder() / "hub", **arguments)
    except errors.GatedRepoError:
        raise WeightsUnavailableError(
            f"{what}: its owners ask for a login and a licence; accept it on the page of {arguments['repo_id']}, "
            "then run `hf auth login`"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise WeightsUnavailableError(
            f"{what}: the hub does not answer, and it was not fetched before; check the connection, or give a file"
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        kind = {"Repo": "repository", "Revi": "revision"}.get(type(error).__name__[:4], "file")
        raise WeightsUnavailableError(f"{what}: no such {kind} on the hub; check the name, or log in") from None
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsUnavailableError(f"{what}: the hub did not give it ({reason}); try again later") from None
    return found
