"""Images named by STAC items: the location of an item's asset."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.formats.remote import fetch, is_gdal_address, is_url

SUFFIXES = (".json", ".geojson")
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".zarr", ".nc", ".vrt", ".img", ".png", ".jpg", ".jpeg", ".ntf", ".nitf")
RASTER_TYPES = ("image/", "application/vnd+zarr", "application/x-netcdf", "application/netcdf")
ASIDE = {"thumbnail", "overview", "metadata"}
"""Roles of assets that are not meant to be worked on."""


def asset_location(location: Path | str) -> Path | str:
    """Return the location of the image that a STAC item names.

    Parameters
    ----------
    location : Path or str
        ``item.json#asset``, or its http address. Without ``#asset`` the item's only asset that is an image is taken, or
        the one called ``visual``. Any other location is returned as it is.

    Returns
    -------
    Path or str
        Path or address of the asset. A relative one is resolved against the item.

    Raises
    ------
    InputError
        The location is empty; or the item is missing or damaged, has no such asset, or it is not clear which one is
        meant.
    """
    if isinstance(location, str) and not location.strip():
        raise InputError("the path of an image cannot be empty; give a file, a folder or an address.")
    parts = _split(location)
    if parts is None:
        return location
    item, asset = parts
    document = _document(item)
    if not _is_stac(document) and asset is None:
        return location
    return _resolved(item, document, _chosen(item, document, asset))


def is_item(location: Path | str) -> bool:
    """Return whether a location names a STAC item, or an asset of one.

    Parameters
    ----------
    location : Path or str
        Path or address.

    Returns
    -------
    bool
        True for a file of that content.
    """
    parts = _split(location)
    try:
        return parts is not None and _is_stac(_document(parts[0]))
    except InputError:
        return False


def _split(location: Path | str) -> tuple[Path | str, str | None] | None:
    """Split a location into the item and the name of the asset. None if it is of something else, by its name."""
    text = str(location)
    if is_gdal_address(location):
        return None
    item, mark, asset = text.rpartition("#") if "#" in text else (text, "", "")
    if is_url(location):
        suffix = os.path.splitext(urlsplit(item).path)[1].lower()
        may_be = suffix in SUFFIXES or (bool(mark) and not suffix)
        return (item, asset or None) if may_be else None
    if Path(text).exists():
        item, mark, asset = text, "", ""
    path = Path(item)
    is_named = path.suffix.lower() in SUFFIXES and (mark or path.is_file())
    return (path, asset or None) if is_named else None


def _document(item: Path | str) -> Any:
    try:
        return json.loads(fetch(item) if isinstance(item, str) else item.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{item}: there is no such file; check the path.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{item}: is no STAC item, or is damaged ({error}).") from error


def _is_stac(document: Any) -> bool:
    return isinstance(document, dict) and "stac_version" in document


def _chosen(item: Path | str, document: Any, asset: str | None) -> str:
    """Return the address of an asset, as the item states it."""
    assets = document.get("assets") if isinstance(document, dict) and document.get("type") == "Feature" else None
    if not isinstance(assets, dict) or not all(isinstance(one, dict) and "href" in one for one in assets.values()):
        kind = f"a STAC {document['type']}" if _is_stac(document) and "type" in document else "no STAC item"
        raise InputError(f"{item}: is {kind}; give an item, which has assets.")
    rasters = [name for name, one in assets.items() if _is_raster(one) and not ASIDE & set(one.get("roles") or ())]
    if asset is None:
        asset = rasters[0] if len(rasters) == 1 else "visual" if "visual" in rasters else None
    if asset is None and not rasters:
        raise InputError(f"{item}: has no asset that is an image; its assets are {', '.join(assets) or 'none'}.")
    if asset not in assets:
        what = "has several images" if asset is None else f"has no asset {asset}"
        named = rasters or list(assets) or ["none"]
        raise InputError(
            f"{item}: {what}; choose one of {', '.join(named)}, as in {item}#{named[0]}, or give the asset's own file."
        )
    return str(assets[asset]["href"])


def _is_raster(asset: Mapping[str, Any]) -> bool:
    kind = str(asset.get("type") or "").lower()
    name = urlsplit(str(asset["href"])).path.rstrip("/").lower()
    return kind.startswith(RASTER_TYPES) or (not kind and name.endswith(RASTER_SUFFIXES))


def _resolved(item: Path | str, document: Mapping[str, Any], address: str) -> Path | str:
    """Resolve the address of an asset against the location of its item."""
    if address.startswith("file:"):
        return Path(url2pathname(urlsplit(address).path))
    if is_url(address):
        return address
    if isinstance(item, str):
        return urljoin(item, address)
    own = Path(os.path.normpath(item.parent / address))
    if own.exists():
        return own
    decoded = Path(os.path.normpath(item.parent / unquote(address)))
    # an item that was fetched alone says where it comes from
    links = (link.get("href") for link in document.get("links") or () if link.get("rel") == "self")
    origin = next((link for link in links if isinstance(link, str) and is_url(link)), None)
    return decoded if decoded.exists() or origin is None else urljoin(origin, address)
