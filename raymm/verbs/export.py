"""Export: the users of a trained model as a file of ids and vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raymm.data.prepared import open_prepared
from raymm.errors import ArtefactError, DataError
from raymm.scorers import DotScorer, VotedScorer
from raymm.verbs.run import open_run_folder


def export_users(run: Path, domain: str | None, output: Path, prepared: Path | None = None) -> int:
    """Write the user embeddings of a run as Parquet, as `raymm match` reads them: `id`, and `vector` of float32.

    Users whose vector is zero have none: nothing is known of them, and they are left out.

    Args:
        run: Run folder.
        domain: Whose users; None where the run has one domain only.
        output: File to write; it must not be there.
        prepared: Prepared set, if it was moved since training.

    Returns:
        The number of users written.

    Raises:
        ArtefactError: No run, no prepared set or another one, or something stands at `output`.
        DataError: No such domain, none was named of several, or a model without an embedding for each user.
    """
    if output.exists():
        raise ArtefactError("something", "a file that is not there yet", str(output), "choose another name")
    found = open_run_folder(run)
    named = ", ".join(found.domains)
    if domain is None and len(found.domains) > 1:
        raise DataError(f"a run of {len(found.domains)} domains", f"one of {named}", "--domain", "name one")
    chosen = found.domains[0] if domain is None else domain
    if chosen not in found.domains:
        raise DataError(f"domain {chosen!r}", f"one of {named}", "--domain", "name a domain of the run")
    data = open_prepared(prepared or found.prepared)
    if data.fingerprint != found.data_fingerprint:
        remedy = "name the prepared set that the run was trained on with --data"
        raise ArtefactError(
            f"the set {data.fingerprint}", f"the set {found.data_fingerprint}", str(data.folder), remedy
        )
    scorer = found.scorers()[chosen]
    if not isinstance(scorer, DotScorer | VotedScorer):
        kind = type(scorer).__name__
        raise DataError(kind, "a scorer with one embedding a user", str(run), "give a run of another model")
    vectors = scorer.users.float().cpu().numpy()
    known = vectors.any(axis=1)
    ids = np.asarray(data.user_ids(chosen), dtype=object)[known]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors[known].ravel()), vectors.shape[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": pa.array(ids, pa.string()), "vector": flat}), output, compression="zstd")
    return int(known.sum())
