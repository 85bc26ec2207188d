"""`python -m tftune` is the `tftune` command."""

from tftune.cli.main import main

if __name__ == "__main__":
    main()
