"""`python -m xinglin` is the command line."""

from xinglin.cli import main

if __name__ == "__main__":
    main()
