"""The list of images of a folder, beside the dock."""
