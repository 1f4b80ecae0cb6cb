"""`python -m cluster up | down | join | status | demo`."""

import sys

from cluster.commands import main

if __name__ == "__main__":
    sys.exit(main())
