"""Train SIEOUG end to end: prepare the data, train on Ray, evaluate, write a report, register the model.

    python jobs/train_sieoug.py                      # the bundled sample, on this machine
    ray job submit --working-dir . -- python jobs/train_sieoug.py --workers 4

`python jobs/train_sieoug.py --help` lists the options.
"""

from __future__ import annotations

import sys

from raymm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["pipeline", "sieoug", *sys.argv[1:]]))
