"""The network on tiles: reading, feeding, predicting."""
