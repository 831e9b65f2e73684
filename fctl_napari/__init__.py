"""Annotation and analysis of ultra-high-resolution images in napari and Jupyter, with the FCtL network.

Use it as ``import fctl_napari as fctl``: see ``docs/api.md`` for the public functions. Importing it loads neither torch
nor Qt; each function loads what it needs.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["exceptions"],
    submod_attrs={
        "api.checkpoints": ["Checkpoint", "load_checkpoint"],
        "api.correcting": ["corrections"],
        "api.explaining": ["Explanation", "explain"],
        "api.exporting": ["export"],
        "api.finetuning": ["Candidate", "finetune"],
        "api.image": ["Image"],
        "api.light_heads": ["fit_head"],
        "api.maps": ["Map"],
        "api.measuring": ["Errors", "Figures", "errors", "evaluate"],
        "api.opening": ["open", "sample"],
        "api.segmenting": ["refine", "segment"],
        "notebook.showing": ["show"],
        "api.training": ["AblationTable", "ablate", "train"],
    },
)
# "from fctl_napari import *" is not to take the built-in open() from a program.
__all__.remove("open")
