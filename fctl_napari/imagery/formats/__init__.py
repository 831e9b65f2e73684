"""Image formats: each read as lazy levels, or as what its tags say (no torch)."""
