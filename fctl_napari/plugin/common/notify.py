"""Errors as napari notifications: our sentence, and no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari.utils.notifications import notification_manager, show_error, show_info

from fctl_napari.errors import Cancelled, FctlError


def say(message: str) -> None:
    """Show one sentence as an information notification.

    Call this on the main thread.

    Parameters
    ----------
    message : str
        The sentence.
    """
    show_info(message)


def report(error: BaseException) -> None:
    """Show an error as a notification.

    An ``FctlError`` is shown as its sentence, anything else (a bug) with its traceback. ``Cancelled`` is what the user
    asked for and is not reported. Call this on the main thread.

    Parameters
    ----------
    error : BaseException
        The error.
    """
    if isinstance(error, Cancelled):
        return
    if isinstance(error, FctlError):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


@contextmanager
def reported() -> Iterator[None]:
    """Report an ``FctlError`` raised in the block, and continue after the block.

    Other exceptions, which are bugs, pass through.

    Yields
    ------
    None
        Nothing.
    """
    try:
        yield
    except FctlError as error:
        report(error)
