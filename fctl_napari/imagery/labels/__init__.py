"""Labels of an image: ground truths, their classes, and where they lie over its pixels."""
