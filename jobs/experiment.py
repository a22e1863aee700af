"""Train, evaluate and compare the variants of a family file on a cluster.

    python jobs/experiment.py jobs/experiments/gume_links.toml --data prepared/ml100k --output experiments/links
    ray job submit --working-dir . -- python jobs/experiment.py FAMILY --data DIR --output DIR --store DIR

Prepared set, output and store must be on storage that all nodes see. A job that was killed is submitted again.
`python jobs/experiment.py --help` lists the options.
"""

from __future__ import annotations

import sys

from raymm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["experiment", *sys.argv[1:]]))
