"""Errors as sentences without a traceback: beside what caused them, or as napari notifications."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from napari.utils.notifications import ErrorNotification, Notification, notification_manager, show_error, show_info
from psygnal import EmitLoopError

from fctl_napari.exceptions import Cancelled, FctlError

if TYPE_CHECKING:
    from qtpy.QtCore import QObject


@runtime_checkable
class Reporter(Protocol):
    """A widget that shows errors of what it does."""

    def show_problem(self, sentence: str) -> None:
        """Show an error.

        Parameters
        ----------
        sentence : str
            The error. An empty one removes what is shown.
        """


def say(message: str) -> None:
    """Show one sentence as an information notification.

    Call this on the main thread.

    Parameters
    ----------
    message : str
        The sentence.
    """
    show_info(message)


def report(error: BaseException, source: QObject | None = None) -> None:
    """Show an error in the tab that it comes from, or as a notification.

    An ``FctlError`` is shown as its sentence, anything else (a bug) as a notification with its traceback. ``Cancelled``
    is what the user asked for and is not reported. Call this on the main thread.

    Parameters
    ----------
    error : BaseException
        The error.
    source : QObject or None, optional
        What it comes from: a tab, or something in it. None shows a notification.
    """
    if isinstance(error, Cancelled):
        return
    if isinstance(error, FctlError):
        reporter = _reporter(source)
        if reporter is None:
            show_error(str(error))
        else:
            reporter.show_problem(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


@contextmanager
def reported(source: QObject | None = None) -> Iterator[None]:
    """Report an ``FctlError`` raised in the block, and continue after the block.

    Other exceptions, which are bugs, pass through. An error that the tab shows already is removed first.

    Parameters
    ----------
    source : QObject or None, optional
        What the error comes from, as for ``report``.

    Yields
    ------
    None
        Nothing.
    """
    reporter = _reporter(source)
    if reporter is not None:
        reporter.show_problem("")
    try:
        yield
    except FctlError as error:
        report(error, source)


def _reporter(source: QObject | None) -> Reporter | None:
    """Return the tab that something belongs to."""
    while source is not None and not isinstance(source, Reporter):
        source = source.parent()
    return source


def show_causes() -> None:
    """Have notifications of errors in signals of psygnal, as magicgui's forms emit them, say what the error is.

    psygnal's own text begins with empty lines, which are all that a notification shows of it. What napari connects to
    ``notification_ready`` is called before anything of others, so notifications are changed before they are there.
    """
    dispatch = notification_manager.dispatch

    def dispatch_cause(notification: Notification) -> None:
        _say_cause(notification)
        dispatch(notification)

    notification_manager.dispatch = dispatch_cause


def _say_cause(notification: Notification) -> None:
    """Put the error that a callback raised in the place of the one of its signal."""
    if not isinstance(notification, ErrorNotification):
        return
    error = notification.exception
    while isinstance(error, EmitLoopError) and error.__cause__ is not None:
        error = error.__cause__
    if error is not notification.exception:
        notification.exception = error
        notification.message = str(error) if isinstance(error, FctlError) else f"{type(error).__name__}: {error}"


def action_first(sentence: str) -> str:
    """Return an error as rich text that begins with what to do.

    Parameters
    ----------
    sentence : str
        An error as we write them: ``"there is no image; open one."``.

    Returns
    -------
    str
        ``"<b>Open one.</b> There is no image."``
    """
    what, separator, action = sentence.strip().rstrip(".").rpartition("; ")
    if not separator:
        return html.escape(_capital(sentence.strip()))
    return f"<b>{html.escape(_capital(action))}.</b> {html.escape(_capital(what))}."


def _capital(words: str) -> str:
    """Begin a sentence with a capital, unless it begins with the name of a file."""
    first = words.split(" ", 1)[0]
    return words if first.endswith(":") else words[:1].upper() + words[1:]
