"""`python -m simplexity`: the command `simplexity`, where it is not on the path."""

import sys

from simplexity.cli import main

if __name__ == "__main__":
    sys.exit(main())
