"""`python -m medseg`: the command line."""

import sys

from medseg.cli import main

sys.exit(main())
