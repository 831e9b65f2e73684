"""Exceptions written for the user: one sentence with what is wrong and what to do."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


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


SHOWN = 60
"""Longest text of a wrong value in a sentence, characters."""

_NEEDED = {
    ("int_type", "int_parsing", "int_parsing_size", "int_from_float"): "a whole number",
    ("float_type", "float_parsing"): "a number",
    ("finite_number",): "a finite number",
    ("bool_type", "bool_parsing"): "true or false",
    ("string_type",): "a text",
    ("string_too_short",): "a text of {min_length} or more characters",
    ("string_pattern_mismatch",): "a text of the pattern {pattern}",
    ("path_type",): "a path",
    ("list_type", "tuple_type", "set_type", "iterable_type"): "a list",
    ("dict_type", "model_type", "model_attributes_type", "mapping_type"): "a table of settings",
    ("greater_than",): "a number greater than {gt}",
    ("greater_than_equal",): "a number of at least {ge}",
    ("less_than",): "a number less than {lt}",
    ("less_than_equal",): "a number of at most {le}",
    ("literal_error", "enum"): "{expected}",
    ("too_short",): "a list of at least {min_length}",
    ("too_long",): "a list of at most {max_length}",
    ("is_instance_of",): "an object of the class {class}",
    ("union_tag_invalid", "union_tag_not_found"): "a {discriminator} that is known",
    ("json_invalid", "json_type"): "JSON",
}
"""What a setting has to be instead, by the types of pydantic's errors and the limits that they state."""

_KINDS = {"int", "float", "str", "bool", "none", "path"}
"""Names of kinds that pydantic puts behind the name of a setting which may be of several."""


def reason_of(error: BaseException) -> str:
    """Return what an error of a library says, in a line, to be quoted in a sentence of ours.

    Parameters
    ----------
    error : BaseException
        Error that a library raised.

    Returns
    -------
    str
        The first line of its message, or the name of the error's type if there is none. See ``fault_of`` for errors of
        settings, whose first line says nothing.
    """
    if is_of_settings(error):
        return fault_of(error)
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def is_of_settings(error: BaseException | None) -> TypeGuard[ValidationError]:
    """Return whether an error is pydantic's, of settings that do not fit. This does not load pydantic.

    Parameters
    ----------
    error : BaseException or None
        Any error.

    Returns
    -------
    bool
        True if it is.
    """
    return type(error).__name__ == "ValidationError" and hasattr(error, "errors")


def fault_of(error: ValidationError, *, named: bool = True) -> str:
    """Return the first fault of settings in our words, to be quoted in a sentence of ours.

    Parameters
    ----------
    error : ValidationError
        Error of the model that the settings are of.
    named : bool, optional
        If False, the name of the setting is left out.

    Returns
    -------
    str
        Name of the setting, what is wrong and what to do, without a full stop: ``"steps: cannot be -3; give a number
        of at least 1"``, ``"stepz: there is no such setting; check the name"``.
    """
    faults = error.errors(include_url=False)
    first, where = faults[0], _setting_of(faults[0])
    needed = dict.fromkeys(needed_of(fault) for fault in faults if _setting_of(fault) == where)
    if first["type"] == "extra_forbidden":
        message = "there is no such setting; check the name"
    elif first["type"] == "missing":
        message = "is missing; state it"
    elif all(needed):
        message = f"cannot be {shown_value(first['input'])}; give {' or '.join(needed)}"
    else:
        message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    name = ".".join(where)
    return f"{name}: {message}" if name and named else message


def needed_of(fault: ErrorDetails) -> str:
    """Return what a setting has to be instead.

    Parameters
    ----------
    fault : ErrorDetails
        One of ``ValidationError.errors()``.

    Returns
    -------
    str
        A noun with its article: ``"a whole number"``. Empty where it is a matter of more than one value.
    """
    words = next((words for types, words in _NEEDED.items() if fault["type"] in types), "")
    return words.format(**fault.get("ctx", {}))


def shown_value(value: object) -> str:
    """Return a wrong value as it is shown in a sentence.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    str
        Its representation in a line of at most ``SHOWN`` characters.
    """
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"


def _setting_of(fault: ErrorDetails) -> tuple[str, ...]:
    """Return the names that lead to a setting, without the kinds that it may be of."""
    names = (str(part) for part in fault["loc"])
    return tuple(itertools.takewhile(lambda name: name not in _KINDS and "[" not in name, names))
