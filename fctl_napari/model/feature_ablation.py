"""Parts of the network that are left out to see their effect (no torch)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.config import FCtLConfig


@dataclass(frozen=True)
class Without:
    """Parts of the network that are left out in the counterfactual of an explanation.

    Attributes
    ----------
    contexts : frozenset of str
        Names of contexts. Such a context contributes nothing: its X_{I|U} is 0 wherever it enters MCF, its fusion
        weight is 0 and the others' are renormalized (the softmax runs over those that are left). As a reference of
        ALE its features are 0 in every step. With all of them left out LCF adds nothing.
    gpe : bool
        If True, attention is by content alone, as if sigma(z) were 1.
    ale : bool
        If True, the local enhancement is left out: X_I + LCF alone.

    Notes
    -----
    The weights stay as they were trained, with the part in place. So the result shows what the part does in this
    network, not how well a network does that was trained without it.
    """

    contexts: frozenset[str] = frozenset()
    gpe: bool = False
    ale: bool = False

    def __bool__(self) -> bool:
        return bool(self.contexts) or self.gpe or self.ale

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts that are left out: the contexts, then ``gpe`` and ``ale``."""
        order = ("local", "medium", "large")
        contexts = sorted(self.contexts, key=lambda name: (order.index(name) if name in order else 3, name))
        return (*contexts, *(["gpe"] if self.gpe else []), *(["ale"] if self.ale else []))

    @classmethod
    def named(cls, names: Iterable[str]) -> Without:
        """Leave out parts by their names.

        Parameters
        ----------
        names : iterable of str
            Names of contexts, ``gpe``, ``ale``.

        Returns
        -------
        Without
            The parts that are left out.
        """
        found = set(names)
        return cls(frozenset(found - {"gpe", "ale"}), "gpe" in found, "ale" in found)

    def check(self, config: FCtLConfig) -> None:
        """Check that a network has the parts that are to be left out.

        Parameters
        ----------
        config : FCtLConfig
            Settings of the network.

        Raises
        ------
        ConfigError
            The network lacks one of them.
        """
        has = [c.name for c in config.contexts]
        unknown = [name for name in self.names[: len(self.contexts)] if name not in has]
        if unknown:
            raise ConfigError(
                f"there is no context {unknown[0]!r} to leave out; this network has {', '.join(has) or 'none'}."
            )
        if self.gpe and not (has and config.lcf and config.gpe):
            raise ConfigError("this network has no positional embeddings (GPE) to leave out; drop gpe.")
        if self.ale and config.ale == "none":
            raise ConfigError("this network has no local enhancement (ALE) to leave out; drop ale.")


WHOLE = Without()
"""The whole network, with nothing left out."""
