"""Rank the best items for all users of a registered model, on Ray Data, as Parquet shards that can be resumed.

    python jobs/recommend.py models:/raymm-sieoug@champion --k 20 --output recommendations/first
    ray job submit --working-dir . -- python jobs/recommend.py models:/raymm-sieoug@champion --output /data/ranked ...

`python jobs/recommend.py --help` says what the files hold and lists the options.
"""

from __future__ import annotations

import sys

from raymm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["recommend", *sys.argv[1:]]))
