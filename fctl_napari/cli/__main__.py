"""Entry point of ``python -m fctl_napari.cli``."""

from fctl_napari.cli.app import main

if __name__ == "__main__":
    main()
