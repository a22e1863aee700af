"""Train GUME end to end: prepare the data, train on Ray, evaluate, write a report, register the model.

    python jobs/train_gume.py --recipe path/to/recipe.toml      # on this machine; one domain with features
    ray job submit --working-dir . -- python jobs/train_gume.py --recipe path/to/recipe.toml --workers 4

`python jobs/train_gume.py --help` lists the options.
"""

from __future__ import annotations

import sys

from raymm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["pipeline", "gume", *sys.argv[1:]]))
