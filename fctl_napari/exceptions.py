"""Exceptions written for the user: one sentence with what is wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class FctlError(Exception):
    """Base of every error whose message is written for the user.

    The message is one sentence that names the file (if there is one), what is wrong, and what to do. The
    command line prints it and exits with code 2; napari shows it as a notification. Anything that is *not* an
    ``FctlError`` is a bug and keeps its traceback.
    """


class InputError(FctlError):
    """A file or an argument that cannot be used as given."""


class OtherImageError(InputError):
    """Corrections of another image than the one at hand.

    Parameters
    ----------
    message : str
        Message for the user.
    name : str, optional
        Name of the corrections' folder.
    what : str, optional
        Their image, and its difference: ``"scene.tif with other pixels than this file has now"``.

    Attributes
    ----------
    name : str
        Name of the corrections' folder.
    what : str
        Their image, and its difference.
    """

    def __init__(self, message: str, name: str = "", what: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.what = what


class PointsError(InputError):
    """Points of a map that are missing, or were drawn before it was changed: others have to be drawn.

    Parameters
    ----------
    message : str
        Message for the user of the command line.
    what : str, optional
        What is wrong, without what to do: a window has another way.

    Attributes
    ----------
    what : str
        What is wrong, without what to do.
    """

    def __init__(self, message: str, what: str = "") -> None:
        super().__init__(message)
        self.what = what


class OutputError(FctlError):
    """A result that cannot be written: a full disk, a name that is taken, a store in use elsewhere."""


class ConfigError(FctlError):
    """Settings that contradict each other or the network."""


class CheckpointError(FctlError):
    """A checkpoint or weights file that does not fit."""


class Cancelled(FctlError):
    """End of a run that the user stopped.

    Results that were finished are kept.
    """


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message, to be quoted in a sentence of ours.

    Parameters
    ----------
    error : BaseException
        Error that a library raised.

    Returns
    -------
    str
        The line, or the name of the error's type if there is none.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def fault_of(error: ValidationError) -> str:
    """Return the first fault of settings, to be quoted in a sentence of ours.

    Parameters
    ----------
    error : ValidationError
        Error of the model that the settings are of.

    Returns
    -------
    str
        Name of the setting, and what is wrong, without a full stop: ``"stepz: there is no such setting; check the
        name"``.
    """
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    unknown = first["type"] == "extra_forbidden"
    message = "there is no such setting; check the name" if unknown else first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
