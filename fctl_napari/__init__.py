"""Annotation and analysis of ultra-high-resolution images in napari, with the FCtL network.

Importing this package loads neither torch nor Qt; its sub-packages load what they need:

``model``         the network (torch only)
``imagery``       images and labels on disk (no torch)
``segmentation``  the two together: image to classes
``learning``      training and fine-tuning
``analysis``      metrics, errors, explanations, figures
``plugin``        napari: readers, sample, widgets
"""

__version__ = "0.1.0"
