"""Train MIMNet end to end: prepare the data, train its stages, evaluate, write a report, register the model.

    python jobs/train_mimnet.py --recipe path/to/recipe.toml      # two domains with ratings, split of kind cold_start
    ray job submit --working-dir . -- python jobs/train_mimnet.py --recipe path/to/recipe.toml --preset compat

The stages run in the process of the job; Ray prepares the data. `python jobs/train_mimnet.py --help` lists the options.
"""

from __future__ import annotations

import sys

from raymm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["pipeline", "mimnet", *sys.argv[1:]]))
