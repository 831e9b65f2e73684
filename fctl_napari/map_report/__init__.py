"""Reports of maps: one page with the map, areas, what people checked, accuracy, doubts and checkpoint."""
