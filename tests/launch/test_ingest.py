import numpy as np
import pytest

from raymm.errors import ConfigError
from raymm.launch.ingest import WholeShards, check_memory, gather_ragged, training_dataset
from tests.processes import run_ranks


def _gather(rank):
    own = np.arange(rank * 10, rank * 10 + 2 * rank, dtype=np.int64).reshape(rank, 2)  # rank 0 has none
    return [part.tolist() for part in gather_ragged(own)]


def test_ragged_parts_arrive_whole_on_every_rank():
    assert run_ranks(_gather, 3) == [[[], [[10, 11]], [[20, 21], [22, 23]]]] * 3


@pytest.mark.ray
def test_rows_beyond_the_stated_memory_are_refused_before_workers_start(prepared_sample):
    from raymm.data.prepared import open_prepared

    prepared = open_prepared(prepared_sample)
    rows = sum(facts.n_train for facts in prepared.domains)
    check_memory(prepared, rows * 56 / 2**30)
    with pytest.raises(ConfigError, match=f"{rows:,} training rows"):
        check_memory(prepared, (rows * 56 - 1) / 2**30)


@pytest.mark.ray
def test_shards_hold_every_row_once_even_where_they_cannot_be_equal(prepared_sample):
    from raymm.data.prepared import open_prepared

    prepared = open_prepared(prepared_sample)
    n_rows = prepared.facts("arts").n_train
    workers = 4
    assert n_rows % workers  # Ray Train's own sharding would drop the rest
    dataset = training_dataset(prepared, "arts")
    shards = WholeShards().configure({"arts": dataset}, workers, None, None)
    import threading

    rows: list[list[int]] = [[] for _ in range(workers)]

    def read(worker):  # all at once, as workers do
        for batch in shards[worker]["arts"].iter_batches(batch_size=None, batch_format="numpy"):
            rows[worker].extend(batch["row"].tolist())

    threads = [threading.Thread(target=read, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row for shard in rows for row in shard) == list(range(n_rows))
