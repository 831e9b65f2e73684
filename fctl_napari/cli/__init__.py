"""The command line, ``fctl ...``: a file for each group of commands."""
