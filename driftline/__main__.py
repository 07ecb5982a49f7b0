"""`python -m driftline` is the `driftline` command."""

import sys

from driftline.cli.command_line import main

sys.exit(main())
