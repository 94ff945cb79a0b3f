"""`python -m resnets` is the command `resnets`."""

import sys

from resnets.cli import main

sys.exit(main())
