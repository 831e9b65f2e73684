"""Numbers of points that are drawn on a map by default."""

TOTAL = 300
"""Number of points: shares of the map are then known to about 5 percent points."""

LEAST = 50
"""Least number of points of each mapped class. Olofsson et al. advise 50 to 100."""


def least_points(total: int, classes: int) -> int:
    """Return the least number of points of each class where none is asked for.

    Parameters
    ----------
    total : int
        Number of all points.
    classes : int
        Number of mapped classes.

    Returns
    -------
    int
        ``LEAST``, or fewer where these would be more than ``total``; 2 at least, without which there is no interval.
    """
    return max(2, min(LEAST, total // max(1, classes)))
