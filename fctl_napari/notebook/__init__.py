"""Viewer of large images in notebook cells."""
