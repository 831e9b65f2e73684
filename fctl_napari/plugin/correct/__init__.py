"""The Correct widget."""
