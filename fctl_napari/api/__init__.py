"""Public functions and what they return, used as ``import fctl_napari as fctl``."""
