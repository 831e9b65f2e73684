"""Points that people check, and how right a map is by them, without a ground truth."""
