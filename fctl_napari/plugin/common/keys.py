"""Key bindings that act while a widget lives, and never take a key that the user has bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts


def bind_keys(target: Any, actions: Mapping[str, Callable[[], None]], *others: Any) -> Callable[[], None]:
    """Bind the keys that are free.

    Parameters
    ----------
    target : object
        A viewer, or a layer (keys of a layer act while it is the active one, before napari's own).
    actions : mapping of str to callable
        Functions without arguments, by key as napari writes it: ``"Shift-N"``.
    *others : object
        Viewers whose keys are the user's, too.

    Returns
    -------
    callable
        Function without arguments that unbinds the keys.
    """
    bound = []
    theirs = _chosen_by_user().union(*(other.keymap for other in others))
    for key, action in actions.items():
        if coerce_keybinding(key) in theirs:
            continue
        try:
            target.bind_key(key, lambda _target, act=action: act())
        except ValueError:
            continue  # the user has bound this key
        bound.append(key)

    def unbind() -> None:
        for key in bound:
            target.bind_key(key, None)
        bound.clear()

    return unbind


def _chosen_by_user() -> set[Any]:
    """Return the keys that the user has given to actions in napari's preferences."""
    chosen: set[Any] = set()
    for action, keys in get_settings().shortcuts.shortcuts.items():
        usual = {coerce_keybinding(key) for key in default_shortcuts.get(action, ())}
        chosen |= {coerce_keybinding(key) for key in keys} - usual
    return chosen
