"""`python -m ferricorn`."""

from ferricorn.cli import main

if __name__ == "__main__":
    main(prog_name="ferricorn")
