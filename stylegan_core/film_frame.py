"""The frame of a signed MP4: C2PA's signature leaves the first box and the manifest's own wrapping out.

A checksum over the whole file stands among the file's brands, in the place of the empty box that ffmpeg writes after
them, so no offset moves. What the brands say besides is left as it was; players pass over brands they do not know."""

import zlib

EMPTY = b"\0\0\0\x08free"  # what ffmpeg leaves between `ftyp` and the pictures
NO_SUM = b"00000000"


def with_room(mp4: bytes) -> bytes:
    """Return the MP4 with two more brands, which hold zeros; as it is where there is no empty box to take."""
    end = int.from_bytes(mp4[:4], "big")
    if mp4[4:8] != b"ftyp" or mp4[end : end + len(EMPTY)] != EMPTY:
        return mp4
    return (end + len(NO_SUM)).to_bytes(4, "big") + mp4[4:end] + NO_SUM + mp4[end + len(EMPTY) :]


def has_room(mp4: bytes) -> bool:
    """Tell whether the last two brands are those of `with_room`."""
    return mp4[4:8] == b"ftyp" and mp4[_place(mp4)] == NO_SUM


def with_checksum(mp4: bytes) -> bytes:
    """Write the checksum into the last two brands."""
    place = _place(mp4)
    return mp4[: place.start] + _checksum(mp4) + mp4[place.stop :]


def checksum_holds(mp4: bytes) -> bool:
    """Tell whether every byte is as it was when the checksum was written."""
    return mp4[4:8] == b"ftyp" and mp4[_place(mp4)] == _checksum(mp4)


def _place(mp4: bytes) -> slice:
    end = int.from_bytes(mp4[:4], "big")
    return slice(max(end - len(NO_SUM), 0), end)


def _checksum(mp4: bytes) -> bytes:
    place, view = _place(mp4), memoryview(mp4)
    return f"{zlib.crc32(view[place.stop :], zlib.crc32(view[: place.start])):08x}".encode()
