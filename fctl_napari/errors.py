"""The exceptions that a user is meant to read: one sentence, what is wrong and what to do."""

from __future__ import annotations


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

    Attributes
    ----------
    name : str
        Of the corrections' folder.
    what : str
        Their image, and what differs: ``"scene.tif with other pixels than this file has now"``.
    """

    def __init__(self, message: str, name: str = "", what: str = "") -> None:
        super().__init__(message)
        self.name = name
        self.what = what


class OutputError(FctlError):
    """A result that cannot be written: a full disk, a name that is taken, a store in use elsewhere."""


class ConfigError(FctlError):
    """Settings that contradict each other or the network."""


class CheckpointError(FctlError):
    """A checkpoint or weights file that does not fit."""


class Cancelled(FctlError):
    """The user stopped the run; what was finished is kept."""
