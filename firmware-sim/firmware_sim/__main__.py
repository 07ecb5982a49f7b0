"""`python -m firmware_sim`."""

import sys

from firmware_sim.simulator_cli import main

sys.exit(main())
