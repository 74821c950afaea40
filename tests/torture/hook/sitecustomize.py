"""Python imports this at its start where this directory stands in PYTHONPATH: it breaks the warden on purpose.

So the product needs no door for its tests. See tests/torture/mutants.py.
"""

import os
import sys

if (name := os.environ.get("EAGENT_TORTURE_MUTANT")) and {"warden", "restore"} & set(sys.orig_argv):
    from tests.torture.mutants import MUTANTS

    MUTANTS[name]()
