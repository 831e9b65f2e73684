"""Numbers of points that are drawn on a map by default."""

TOTAL = 300
"""Number of points: shares of the map are then known to about 5 percent points."""

LEAST = 50
"""Least number of points of each mapped class. Olofsson et al. advise 50 to 100."""
