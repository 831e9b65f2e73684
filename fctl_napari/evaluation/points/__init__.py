"""How right a map is by points that people check, without a ground truth."""
