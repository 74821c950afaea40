"""`python -m eagent` is `eagent`."""

import sys

from eagent.cli import main

if __name__ == "__main__":
    sys.exit(main())
