"""Places, sizes and areas on the ground of what an image shows."""
