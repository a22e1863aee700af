"""Match the users of two populations by optimal transport, on Ray, with a certificate.

    python jobs/match.py --source a.parquet --target b.parquet --anchors pairs.parquet --output matchings/first
    ray job submit --working-dir . -- python jobs/match.py --workers 4 --source /data/a.parquet ...

`python jobs/match.py --help` says what the files hold and lists the options.
"""

from __future__ import annotations

import sys

from raymm.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["match", *sys.argv[1:]]))
