"""The user's cache folder: what lies there, what of it is in use, and how large it may grow (no torch)."""
