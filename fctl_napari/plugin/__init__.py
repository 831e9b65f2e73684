"""The only package that imports napari or Qt. It never imports torch."""
