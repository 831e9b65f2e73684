"""Images on disk (no torch): image pyramids, formats, conversion, label pyramids."""
