"""`python -m minigan`: the same as the `minigan` command."""

import sys

from minigan.cli import main

sys.exit(main())
