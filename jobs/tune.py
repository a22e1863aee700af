"""Search settings on a cluster: one model, or several with the same budget.

    python jobs/tune.py lightgcn ease --data prepared/arts_office --name first --trials 20
    ray job submit --working-dir . -- python jobs/tune.py sieoug --data DIR --name NAME --sweeps DIR --store DIR

Prepared set, sweeps and store must be on storage that all nodes see. A job that was killed is submitted again.
`python jobs/tune.py --help` lists the options.
"""

from __future__ import annotations

import sys

from raymm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
