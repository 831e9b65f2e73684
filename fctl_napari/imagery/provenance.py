"""Provenance of converted pyramids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Origin:
    """The image that a pyramid was converted from.

    Attributes
    ----------
    path : str
        File or address at the time of the conversion.
    modified_ns : int or None
        Modification time of the file, ns, or None for an address.
    fingerprint : str or None
        Its fingerprint at the time of the conversion, or None in pyramids of versions that did not write it.
    """

    path: str
    modified_ns: int | None
    fingerprint: str | None

    @classmethod
    def read(cls, attributes: dict[str, Any]) -> Origin | None:
        """Read the origin from the attributes that ``convert`` wrote.

        Parameters
        ----------
        attributes : dict of str to object
            Attributes under this project's key.

        Returns
        -------
        Origin or None
            Origin. None if the pyramid is not converted from a file.
        """
        source = attributes.get("source")
        if not isinstance(source, dict) or not isinstance(source.get("path"), str):
            return None
        return cls(source["path"], source.get("modified_ns"), attributes.get("source_fingerprint"))
