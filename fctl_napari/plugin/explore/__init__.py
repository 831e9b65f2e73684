"""The Explore widget."""
