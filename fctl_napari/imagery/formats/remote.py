"""Images at HTTP addresses, of which no more is fetched than is needed."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeGuard
from urllib.parse import quote, unquote, urlsplit

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore

from fctl_napari.exceptions import InputError, reason_of

CONNECT_SECONDS = 15
"""Timeout for a server to accept a connection, s."""

READ_SECONDS = 60
"""Timeout for a server that is silent in the middle of an answer, s."""

RETRY_SECONDS = (0.2, 1.0)
"""Delays, s, before a failed request is repeated, so that a long run survives short interruptions."""

BLOCK_BYTES = 128 * 2**10
"""Amount of a file that is read ahead, bytes: an overview's list of tiles, or a tile and some more."""

PAGE_BYTES = 256
"""Number of bytes by which a web page is recognized."""

SIGN_IN = "check the address, and whether one has to sign in"
"""Advice where a web page comes in place of data."""

_PASSING = (408, 429, 500, 502, 503, 504)
_METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")


GDAL_ADDRESS = re.compile(r"(s3|gs|az|adl|oss)://|/vsi[a-z0-9_]+/|[A-Z][A-Z0-9_]{3,}:")
"""Beginning of an address that GDAL alone reads: of a cloud, of a virtual file, of one raster in a file."""


def is_gdal_address(location: Path | str) -> TypeGuard[str]:
    """Return whether a location is an address that GDAL alone reads.

    Parameters
    ----------
    location : Path or str
        Path or address.

    Returns
    -------
    bool
        True for ``s3://bucket/key``, ``/vsicurl/https://...``, ``NETCDF:file.nc:name`` and their like.
    """
    return isinstance(location, str) and GDAL_ADDRESS.match(location) is not None


def is_url(location: Path | str) -> TypeGuard[str]:
    """Return whether a location is an address (``scheme://...``, or one of GDAL's).

    Parameters
    ----------
    location : Path or str
        Path or address. A ``Path`` never is an address, since it would have lost a slash.

    Returns
    -------
    bool
        True for an address.
    """
    is_scheme = isinstance(location, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", location) is not None
    return is_scheme or is_gdal_address(location)


def child(location: Path | str, name: str) -> Path | str:
    """Return the location of an entry of a folder.

    Parameters
    ----------
    location : Path or str
        Path or address of the folder.
    name : str
        Name of the entry.

    Returns
    -------
    Path or str
        Path or address, as the folder's. A query (a signature, say) stays at the end.
    """
    if isinstance(location, Path):
        return location / name
    path, mark, query = location.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def last_name(location: Path | str) -> str:
    """Return the last part of a path or an address, as people read it.

    Parameters
    ----------
    location : Path or str
        Path or address.

    Returns
    -------
    str
        Name, with escapes of the address decoded.
    """
    if isinstance(location, Path):
        return location.name
    parts = urlsplit(location)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc


def is_web_page(data: bytes) -> bool:
    """Return whether bytes are the beginning of an HTML page.

    Parameters
    ----------
    data : bytes
        First bytes of an answer.

    Returns
    -------
    bool
        True for a web page.
    """
    return (
        data[:PAGE_BYTES]
        .lstrip(b"\xef\xbb\xbf \t\r\n")
        .lower()
        .startswith((b"<!doctype html", b"<html", b"<head", b"<body"))
    )


def _is_page(value: Buffer | None) -> bool:
    return value is not None and is_web_page(value[:PAGE_BYTES].to_bytes())


def open_store(url: str) -> HttpStore:
    """Make the store of a Zarr at an address. No request is sent yet.

    Parameters
    ----------
    url : str
        Address of the Zarr.

    Returns
    -------
    HttpStore
        Read-only store.

    Raises
    ------
    InputError
        It is no HTTP address, or the packages of the extra ``remote`` are missing.
    """
    return HttpStore(_file_system(url, asynchronous=True), read_only=True, path=url)


def open_file(url: str) -> BinaryIO:
    """Open a file at an address. Its bytes are fetched when they are read.

    Parameters
    ----------
    url : str
        Address of the file.

    Returns
    -------
    BinaryIO
        File, open for reading.

    Raises
    ------
    InputError
        The server or the file is not there, or only the whole file can be fetched.
    """
    return _HttpFile(url, _file_system(url, asynchronous=False))  # type: ignore[return-value]


def fetch(url: str) -> bytes:
    """Fetch a small file at an address, whole.

    Parameters
    ----------
    url : str
        Address of the file.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    InputError
        The server or the file is not there.
    """
    data: bytes = _ask(url, _file_system(url, asynchronous=False).cat_file, _encoded(url))
    return data


def _refuse(url: str, error: Exception) -> NoReturn:
    status = getattr(error, "status", None)
    server = urlsplit(url).netloc
    if status is not None:
        advice = "check whether it may be read by anyone" if status in (401, 403) else "check the address, or try later"
        message = f"the server {server} refuses it (HTTP {status}); {advice}."
    elif isinstance(error, TimeoutError):
        message = f"the server {server} does not answer; try later."
    else:
        reason = reason_of(error)
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

    # A large chunk may take long, so only silence times out. Proxies are those of the environment.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    options = {"timeout": timeout, "trust_env": True}
    return HTTPFileSystem(asynchronous=asynchronous, encoded=True, client_kwargs=options)


def _encoded(url: str) -> str:
    """Escape what an address may not hold, and leave what is escaped as it is: signatures count to the letter."""
    return quote(url, safe="%:/?#[]@!$&'()*+,;=~")


class HttpStore(FsspecStore):
    """A read-only Zarr store at an address.

    Every failure is reported in one sentence, and requests are repeated after temporary failures. A query of the
    address is sent with each request.

    Attributes
    ----------
    web_pages : bool
        True if the server answered with web pages where metadata was looked for.
    """

    web_pages = False
    _metadata_key = "zarr.json"  # the last one that was answered

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Fetch the value of a key, or a part of it.

        Parameters
        ----------
        key : str
            Key of the store.
        prototype : BufferPrototype
            See Zarr's ``Store.get``.
        byte_range : ByteRequest or None, optional
            Part to fetch. None fetches all.

        Returns
        -------
        Buffer or None
            Bytes, or None if the server has none.

        Raises
        ------
        InputError
            The server refuses the request or cannot be reached.
        """
        import aiohttp

        metadata = key.rpartition("/")[2] in _METADATA
        for wait in (*RETRY_SECONDS, None):
            try:
                value = _part(await self._fetch(key, prototype, byte_range), byte_range)
            except (aiohttp.ClientError, OSError) as error:
                if getattr(error, "status", None) == 403 and metadata:
                    return None  # S3 answers 403 for a missing key where folders may not be listed
                if wait is None or not _passes(error):
                    _refuse(self.path, error)
                await asyncio.sleep(wait)
                continue
            if not _is_page(value):
                self._metadata_key = key if metadata and value is not None else self._metadata_key
                return value
            # So answer some servers for whatever is missing, and others until one signs in.
            if not metadata and _is_page(await self._fetch(self._metadata_key, prototype, None)):
                raise InputError(f"{self.path}: its server answers with a web page where {key} should be; {SIGN_IN}.")
            self.web_pages = True
            return None
        raise AssertionError("the last attempt returns or raises")

    async def _fetch(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None) -> Buffer | None:
        start = stop = None
        if isinstance(byte_range, RangeByteRequest):
            start, stop = byte_range.start, byte_range.end
        elif isinstance(byte_range, OffsetByteRequest):
            start = byte_range.offset
        elif isinstance(byte_range, SuffixByteRequest):
            start = -byte_range.suffix
        try:
            data = await self.fs._cat_file(_encoded(str(child(self.path, key))), start=start, end=stop)
        except FileNotFoundError:
            return None
        return prototype.buffer.from_bytes(data)


class _HttpFile(io.RawIOBase):
    """A read-only file at an address, with failures as in :class:`HttpStore`."""

    def __init__(self, url: str, files: Any) -> None:
        super().__init__()
        from fsspec.caching import ReadAheadCache

        self.name = url
        self._url = _encoded(url)
        self._files = files
        self._position = 0
        self._size = _ask(url, self._read_size)
        self._cache = ReadAheadCache(BLOCK_BYTES, self._fetch, self._size)

    def _read_size(self) -> int:
        """Ask for the first bytes of the file: what they are a part of is its size.

        Many servers that hand out files do not answer questions about them (HEAD).
        """
        from fsspec.asyn import sync

        size = sync(self._files.loop, self._ask_size)
        if size is None:
            with suppress(FileNotFoundError):
                size = self._files.info(self._url).get("size")
        if size is None:
            raise InputError(f"{self.name}: its server does not say how large it is; fetch it and open the copy.")
        return int(size)

    async def _ask_size(self) -> int | None:
        session = await self._files.set_session()
        headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
        async with session.get(self._files.encode_url(self._url), headers=headers) as answer:
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if answer.status == 416 and total == "0":
                return 0  # an empty file has no first byte
            answer.raise_for_status()
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                return None
            if answer.status == 206:
                return int(total) if total.isdigit() else None
            length = answer.content_length
            return None if length is None else int(length)

    def _fetch(self, start: int, stop: int) -> bytes:
        data: bytes = _ask(
            self.name, partial(self._files.cat_file, headers={"Accept-Encoding": "identity"}), self._url, start, stop
        )
        if len(data) > stop - start:
            raise InputError(f"{self.name}: its server sends files only whole; fetch it and open the copy.")
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        data = self._cache._fetch(self._position, min(self._position + len(buffer), self._size))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _ask(url: str, request: Callable[..., Any], *arguments: Any) -> Any:
    """Make a request, again if it fails for a moment, and report what stays."""
    import aiohttp

    for wait in (*RETRY_SECONDS, None):
        try:
            return request(*arguments)
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, FileNotFoundError) or getattr(error, "status", None) in (404, 410):
                raise InputError(f"{url}: there is nothing at this address; check it.") from None
            if wait is None or not _passes(error):
                _refuse(url, error)
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _passes(error: Exception) -> bool:
    """Return whether the same request may succeed a moment later."""
    status = getattr(error, "status", None)
    return status is None or status in _PASSING


def _part(value: Buffer | None, byte_range: ByteRequest | None) -> Buffer | None:
    """Cut out the requested part where a server sent the whole file instead."""
    if value is None:
        return None
    if isinstance(byte_range, RangeByteRequest) and len(value) > byte_range.end - byte_range.start:
        return value[byte_range.start : byte_range.end]
    if isinstance(byte_range, SuffixByteRequest) and len(value) > byte_range.suffix:
        return value[-byte_range.suffix :]
    return value
