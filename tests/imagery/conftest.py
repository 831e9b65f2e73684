"""Settings for the tests of images on disk."""

from hypothesis import settings

# Files are written and read within examples, on machines that do other work as well.
settings.register_profile("files", deadline=None)
settings.load_profile("files")
