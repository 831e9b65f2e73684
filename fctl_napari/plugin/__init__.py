"""napari: readers, sample data, widgets. The only package that imports napari or Qt; it never imports torch."""
