"""`python firmware-sim`: the simulator, from a checkout."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from firmware_sim.simulator_cli import main

sys.exit(main())
