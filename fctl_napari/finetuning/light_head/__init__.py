"""Light heads: decoders that are learned from strokes on the features of frozen encoders."""
