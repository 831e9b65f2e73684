"""Addresses in place of paths: images that are read over HTTP, no more of them than is needed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from zarr.abc.store import ByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore

from fctl_napari.errors import InputError

CONNECT_SECONDS = 15
"""How long a server may take to accept a connection."""

READ_SECONDS = 60
"""How long a server may be silent in the middle of an answer."""

RETRY_SECONDS = (0.2, 1.0)
"""How long to wait before a request that failed is made again: a long run should outlive a hiccup."""

BLOCK_BYTES = 128 * 2**10
"""How much of a file is read ahead: an overview's list of tiles, or a tile and some more."""

_PASSING = (408, 429, 500, 502, 503, 504)
_METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")


def is_url(place: Path | str) -> bool:
    """Tell whether this is an address (``scheme://...``). A ``Path`` never is: it would have lost a slash."""
    return isinstance(place, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", place) is not None


def child(place: Path | str, name: str) -> Path | str:
    """Name what lies in a folder, be it a path or an address."""
    return place / name if isinstance(place, Path) else f"{place.rstrip('/')}/{name}"


def last_name(place: Path | str) -> str:
    """Return the last part of a path or an address, as people read it."""
    if isinstance(place, Path):
        return place.name
    parts = urlsplit(place)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc


def open_store(url: str) -> HttpStore:
    """Make the store of a Zarr at an address. Nothing is asked of the server yet.

    Raises
    ------
    InputError
        It is no HTTP address, or the packages of the extra ``remote`` are missing.
    """
    return HttpStore(_file_system(url, asynchronous=True), read_only=True, path=url.rstrip("/"))


def open_file(url: str) -> Any:
    """Open a file at an address as a binary file object; what is read of it is fetched when it is read.

    Raises
    ------
    InputError
        The server or the file is not there, or only the whole file can be had.
    """
    files = _file_system(url, asynchronous=False)
    with fetching(url):
        try:
            file = files.open(url, block_size=BLOCK_BYTES, cache_type="readahead")
        except FileNotFoundError:
            raise InputError(f"{url}: there is nothing at this address; check it.") from None
    if not file.seekable():
        raise InputError(f"{url}: its server sends files only whole; fetch it and open the copy.")
    return file


@contextmanager
def fetching(url: str) -> Iterator[None]:
    """Turn what goes wrong between here and the server into an :class:`InputError`."""
    import aiohttp

    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        _refuse(url, error)


def _refuse(url: str, error: Exception) -> NoReturn:
    status = getattr(error, "status", None)
    server = urlsplit(url).netloc
    if status is not None:
        advice = "check whether it may be read by anyone" if status in (401, 403) else "check the address, or try later"
        message = f"the server {server} refuses it (HTTP {status}); {advice}."
    elif isinstance(error, TimeoutError):
        message = f"the server {server} does not answer; try later."
    else:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        message = f"the server {server} cannot be reached; check the address and the network ({reason})."
    raise InputError(f"{url}: {message}") from error


def _file_system(url: str, *, asynchronous: bool) -> Any:
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise InputError(f"{url}: only http:// and https:// addresses can be read; fetch the image first.")
    try:
        import aiohttp
        from fsspec.implementations.http import HTTPFileSystem
    except ImportError as error:
        raise InputError(
            f"{url}: the package {error.name} is missing to read images over HTTP; pip install 'fctl-napari[remote]'."
        ) from None

    # A whole level may take long; silence may not.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return HTTPFileSystem(asynchronous=asynchronous, client_kwargs={"timeout": timeout})


class HttpStore(FsspecStore):
    """A Zarr at an address, for reading; every failure is one sentence, and what passes is tried again."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Fetch the value of a key, or a part of it; None if the server has none."""
        import aiohttp

        for wait in (*RETRY_SECONDS, None):
            try:
                return _part(await super().get(key, prototype, byte_range), byte_range)
            except (aiohttp.ClientError, OSError) as error:
                status = getattr(error, "status", None)
                if status == 403 and key.rpartition("/")[2] in _METADATA:
                    return None  # S3's word for what is not there, where folders may not be listed
                if wait is None or not (status is None or status in _PASSING):
                    _refuse(self.path, error)
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")


def _part(value: Buffer | None, byte_range: ByteRequest | None) -> Buffer | None:
    """Cut out what was asked for, where a server sent the whole file instead."""
    if value is None:
        return None
    if isinstance(byte_range, RangeByteRequest) and len(value) > byte_range.end - byte_range.start:
        return value[byte_range.start : byte_range.end]
    if isinstance(byte_range, SuffixByteRequest) and len(value) > byte_range.suffix:
        return value[-byte_range.suffix :]
    return value
