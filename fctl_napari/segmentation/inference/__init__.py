"""Inference on tiles: reading them, feeding the network, predicting."""
