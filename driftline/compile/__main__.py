"""`python -m driftline.compile` compiles every kernel into numba's cache."""

import sys

from driftline.compile.ahead import main

if __name__ == "__main__":
    main(sys.argv[1:])
