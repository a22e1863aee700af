import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from raymm.transport.partitioned import PartitionConfig
from raymm.transport.population import PopulationConfig, match_populations, population_cost
from raymm.verbs import matching_files
from raymm.verbs.matching_files import write_plan
from tests.transport.people import domains


def test_the_plan_can_be_made_again_from_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(matching_files, "_PART_ROWS", 1000)
    x, y = domains(500, 420, 150, torch.float32)
    pairs = torch.stack([torch.arange(40), torch.arange(40).flip(0)], dim=1)
    partition = PartitionConfig(sample=150, cells=12, missed_mass=0.1, exact_above=0.95, target_gap=0.2)
    config = PopulationConfig(epsilon=0.05, top_k=20, partition=partition)
    match = match_populations(x, y, pairs, config, torch.Generator().manual_seed(0))
    assert match.certificate is not None
    assert match.certificate.kept_pairs < 1
    sources, targets = pa.array([f"s{n}" for n in range(500)]), pa.array([f"t{n}" for n in range(420)])
    write_plan(tmp_path, match, sources, targets)

    assert len(list((tmp_path / "partners").glob("part-*.parquet"))) == 10
    listed = pq.read_table(tmp_path / "partners").to_pandas()
    known = listed[listed.known]
    assert dict(zip(known.source_id, known.target_id, strict=True)) == {f"s{i}": f"t{39 - i}" for i in range(40)}
    assert set(known.weight) == {1.0}
    assert listed.source_id.nunique() == 500

    f, g = (pq.read_table(tmp_path / f"potentials_{side}.parquet").to_pandas() for side in ("source", "target"))
    blocks = pq.read_table(tmp_path / "blocks.parquet").to_pandas()
    kept = set(zip(blocks.source_cell, blocks.target_cell, strict=True))
    rows, columns = (np.array([int(name[1:]) for name in side.id]) for side in (f, g))
    assert rows.tolist() == list(range(40, 500))
    cost = population_cost(x, y, pairs, config).take(torch.from_numpy(rows), torch.from_numpy(columns)).dense().numpy()
    plan = np.exp((f.potential.to_numpy()[:, None] + g.potential.to_numpy() - cost) / config.epsilon) / (
        len(f) * len(g)
    )
    plan *= np.array([[(one, other) in kept for other in g.cell] for one in f.cell])
    assert plan.sum() == pytest.approx(match.certificate.mass, rel=1e-3)
    row, own = 7, listed[listed.source_id == f.id[7]]
    order = np.argsort(-plan[row])[:20]
    assert own.target_id.tolist() == [g.id[place] for place in order]
    assert own["rank"].tolist() == list(range(1, 21))
    np.testing.assert_allclose(own.mass, plan[row, order], rtol=1e-3)
    np.testing.assert_allclose(own.weight, plan[row, order] / plan[row].sum(), rtol=1e-3)
    assert math.isfinite(listed.mass.sum())


def test_known_users_alone_leave_no_potentials(tmp_path):
    x, y = domains(6, 9, 6, torch.float32)
    pairs = torch.arange(6)[:, None].repeat(1, 2)
    match = match_populations(x, y, pairs, PopulationConfig(), torch.Generator().manual_seed(0))
    write_plan(tmp_path, match, pa.array(list("abcdef")), pa.array(list("ABCDEFGHI")))
    listed = pq.read_table(tmp_path / "partners").to_pydict()
    assert listed["source_id"] == list("abcdef")
    assert listed["target_id"] == list("ABCDEF")
    assert pq.read_table(tmp_path / "potentials_target.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "blocks.parquet").num_rows == 0
