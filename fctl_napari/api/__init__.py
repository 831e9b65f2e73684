"""Public functions and what they return. Use them as ``import fctl_napari as fctl``; see ``docs/api.md``."""
