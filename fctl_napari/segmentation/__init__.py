"""From an image to classes."""
