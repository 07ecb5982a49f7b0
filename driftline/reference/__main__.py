"""`python -m driftline.reference` writes the generated pages."""

import sys

from driftline.reference.pages import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
