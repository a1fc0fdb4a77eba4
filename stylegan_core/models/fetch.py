"""Fetch one file over https into its place: resumed where it broke off, limited in size, whole or not at all."""

import errno
import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stylegan_core.errors import OutputError, WeightsUnavailableError
from stylegan_core.models.cache import CHUNK, FOLDER_VARIABLE
from stylegan_core.progress import progress_bar

MAX_BYTES = 8 << 30  # of a file whose size nobody stated
ATTEMPTS = 4  # in a row without a byte
MAX_WAIT = 60.0  # seconds that a server may ask for; beyond it the user decides
TIMEOUT = 30.0  # seconds without an answer
PAUSE = 1.0  # seconds before another attempt, doubled each time
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Broken(Exception):
    """A connection that ended early; what came is kept. `wait` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects as long as they stay with https."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Refuse any other scheme; raises `WeightsUnavailableError`."""
        check_https(newurl, f"{req.full_url} redirects to")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_https(url: str, what: str = "") -> None:
    """Refuse a URL that is not https; raises `WeightsUnavailableError`."""
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        raise WeightsUnavailableError(f"{what} {url[:200]}: only https is fetched; give an https address".strip())


def download(url: str, target: Path, max_bytes: int = MAX_BYTES) -> None:
    """Fetch `url` to `target`, at most `max_bytes`; raises `WeightsUnavailableError` or `OutputError`.

    Until it is whole it lies beside as NAME.part, from which a later call goes on."""
    check_https(url)
    part, attempts, pause = target.with_name(f"{target.name}.part"), 0, PAUSE
    with _disk(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        before = _size(part)
        try:
            _receive(url, part, max_bytes)
            break
        except _Broken as error:
            attempts = attempts + 1 if _size(part) <= before else 1
            wait = pause if error.wait is None else error.wait
            if attempts >= ATTEMPTS or wait > MAX_WAIT:
                raise WeightsUnavailableError(_given_up(url, part, error)) from None
            time.sleep(wait)
            pause *= 2
    with _disk(target.parent):
        os.replace(part, target)
    _about(part).unlink(missing_ok=True)


def _given_up(url: str, part: Path, error: _Broken) -> str:
    if error.wait is not None:
        return f"{url}: {error}; run the same command again in {error.wait:.0f} s"
    return f"{url}: {error}; {_size(part):,} bytes are kept: run the same command again to go on"


def _receive(url: str, part: Path, max_bytes: int) -> None:
    """Append what is missing of `url` to `part`; raises `_Broken` where the connection ends early."""
    have, validator = _size(part), _validator(part, url)
    headers = {"User-Agent": "invertigo", "Accept-Encoding": "identity"}
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context()), _HttpsOnly()
    )
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is kept is not the beginning of what is there now
            part.unlink(missing_ok=True)
            raise _Broken("the server has another file than before") from None
        raise _refusal(url, error) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"no answer ({getattr(error, 'reason', None) or error})") from None
    with response:
        _check_kind(url, response)
        resumed = response.status == 206 and _starts_at(response) == have
        if response.status == 206 and not resumed:
            part.unlink(missing_ok=True)
            raise _Broken("the server sent another part than the one asked for")
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        _check_size(url, total, start, max_bytes, part)
        _note(part, url, response)
        _write(url, response, part, start, total, max_bytes)


def _write(url: str, response: Any, part: Path, start: int, total: int | None, max_bytes: int) -> None:
    """Write a response's body behind the first `start` bytes of `part`."""
    label = part.name.removesuffix(".part")
    bar = progress_bar(total=total, initial=start, unit="B", unit_scale=True, desc=label[:30], leave=False)
    with _disk(part.parent), part.open("ab" if start else "wb") as file, bar:
        count = start
        while True:
            try:
                block = response.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(f"the connection broke off ({error or type(error).__name__})") from None
            if not block:
                break
            count += len(block)
            if count > max_bytes:
                break
            file.write(block)
            bar.update(len(block))
        file.flush()
        os.fsync(file.fileno())
    if count > max_bytes:
        part.unlink(missing_ok=True)
        raise WeightsUnavailableError(f"{url}: more came than the {max_bytes:,} bytes that are taken; nothing is kept")
    if total is not None and count < total:
        raise _Broken(f"the connection broke off after {count:,} of {total:,} bytes")


def _check_size(url: str, total: int | None, start: int, max_bytes: int, part: Path) -> None:
    if total is None:
        return
    if total > max_bytes:
        raise WeightsUnavailableError(
            f"{url}: {total:,} bytes, more than the {max_bytes:,} that are taken; this is not the file that was meant"
        )
    free = shutil.disk_usage(part.parent).free
    if total - start > free:
        raise OutputError(
            f"{part.parent}: {free:,} bytes are free, {total - start:,} are needed; free some space or set "
            f"{FOLDER_VARIABLE} to another folder"
        )


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    """Say what an error status means: a wait, another attempt, or the end."""
    error.close()
    if error.code in (429, 503):
        asked = error.headers.get("Retry-After", "")
        return _Broken(f"the server is busy ({error.code})", float(asked) if asked.isdigit() else None)
    if error.code >= 500:
        return _Broken(f"the server failed ({error.code})")
    if error.code in (401, 403, 407):
        text = f"the server wants a login ({error.code}); fetch the file in a browser and give its path"
    elif error.code in (404, 410):
        text = f"no such file there ({error.code}); check the address"
    else:
        text = f"the server refused ({error.code} {error.reason})"
    return WeightsUnavailableError(f"{url}: {text}")


def _check_kind(url: str, response: Any) -> None:
    if response.headers.get_content_type() == "text/html":
        raise WeightsUnavailableError(
            f"{url}: a web page came in place of a file, as from a login or a question; open it in a browser, fetch "
            "the file there and give its path"
        )


def _starts_at(response: Any) -> int:
    """Return the first byte of a partial response; -1 where it does not say."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else -1


def _about(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _note(part: Path, url: str, response: Any) -> None:
    """Keep what tells later whether the server still has the same file: a strong ETag, or the date."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    with _disk(part.parent):
        _about(part).write_text(json.dumps({"url": url, "validator": validator}))


def _validator(part: Path, url: str) -> str:
    """Return what `_note` kept for this URL; empty: begin anew."""
    try:
        about = json.loads(_about(part).read_text())
        return str(about["validator"]) if about["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turn failures to write into one sentence."""
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in FULL else (error.strerror or str(error))
        raise OutputError(
            f"{folder}: cannot be written ({why}); free some space or set {FOLDER_VARIABLE} to another folder"
        ) from None
