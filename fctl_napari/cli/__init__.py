"""The command line ``fctl``, with a file for each group of commands."""
