"""One suite over every registered model, on toys whose right answers are known."""

import numpy as np
import pytest
import torch

from raymm import config
from raymm.contracts import RecModel
from raymm.evaluation.ranking import rank
from raymm.models.registry import MODELS, RATING, TRAINED
from raymm.models.spec import Place
from raymm.parallel.grid import make_grid, single
from raymm.scorers import load_scorer, save_scorer
from raymm.training.engine import OptimizerConfig, TorchEngine
from raymm.training.loop import LoopConfig, train
from raymm.verbs.stages import run_stages
from tests.processes import run_ranks
from tests.ratings.toys import planted
from tests.toy_data import checkerboards, positives_of

CPU = torch.device("cpu")
POPULATION, LEARNED = "default, whole populations", "paper, learned clusters"
CASES = [(name, preset) for name, spec in TRAINED.items() for preset in spec.presets]
CASES += [("sieoug", POPULATION), ("sieoug", LEARNED)]


def _settings(spec, preset):
    """The preset, made small: few columns, few clusters, matching from the second epoch."""
    plain = config.plain(spec.presets[preset.partition(",")[0]])
    plain["width"] = 16
    if "hypergraph" in plain:
        plain["hypergraph"]["clusters"] = 2
    if "transfer" in plain:
        plain["transfer"].update(users=16, warmup_epochs=1)
    if preset == POPULATION:
        plain["transfer"].update(scope="population", refresh_epochs=1)
    if preset == LEARNED:
        plain["hypergraph"]["method"] = "gumbel"
    return config.build(spec.config, plain)


def _trained(name, preset, grid, epochs=25, seed=0):
    from raymm.data.sampling import TripleSource

    spec = TRAINED[name]
    settings = _settings(spec, preset)
    data, holdouts = checkerboards(spec.n_domains)
    model = spec.build(settings, data, spec.structures(settings, data, seed), Place(grid, CPU, seed))
    engine = TorchEngine(model, grid, OptimizerConfig(learning_rate=0.02), CPU)
    source = TripleSource(positives_of(data), 128, seed, grid)

    def validate():
        values = [rank(model.scorer(holdout.domain), holdout, (1, 5)).means() for holdout in holdouts]
        return {key: float(np.mean([value[key] for value in values])) for key in values[0]}

    loop = LoopConfig(epochs=epochs, patience=epochs, selection="hr@1")
    return model, list(train(model, engine, source, validate, loop)), holdouts


def test_there_are_models_to_test():
    assert ("sieoug", "default") in CASES
    assert ("sieoug", "paper") in CASES


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_finds_the_withheld_items_of_a_checkerboard(name, preset):
    model, history, _ = _trained(name, preset, single())
    assert isinstance(model, RecModel)
    assert history[-1].validation["hr@1"] > 0.9  # one of twelve by chance


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_the_same_seed_gives_the_same_history_and_another_seed_another(name, preset):
    histories = [_trained(name, preset, single(), epochs=3, seed=seed)[1] for seed in (1, 1, 2)]
    losses = [[record.losses for record in history] for history in histories]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_config_survives_plain_data(name, preset):
    settings = _settings(MODELS[name], preset)
    assert config.build(MODELS[name].config, config.plain(settings)) == settings
    for shipped in MODELS[name].presets.values():
        assert config.build(MODELS[name].config, config.plain(shipped)) == shipped


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_what_is_stored_is_what_was_evaluated(name, preset, tmp_path):
    model, _, holdouts = _trained(name, preset, single(), epochs=2)
    for holdout in holdouts:
        scorer = model.scorer(holdout.domain)
        save_scorer(scorer, tmp_path / holdout.domain)
        users = torch.from_numpy(holdout.users)
        assert torch.isfinite(scorer.scores(users)).all()
        assert torch.equal(load_scorer(tmp_path / holdout.domain).scores(users), scorer.scores(users))


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_every_parameter_belongs_to_one_group_and_gets_a_gradient(name, preset):
    model, _, _ = _trained(name, preset, single(), epochs=2)
    trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
    grouped = [id(parameter) for group in model.parameter_groups() for parameter in group.parameters]
    assert sorted(grouped) == sorted(map(id, trained.values()))
    without = [key for key, value in trained.items() if value.grad is None or not value.grad.abs().sum() > 0]
    assert without == []


def _losses(rank_, shape):
    torch.manual_seed(0)
    return {case: [record.losses for record in _trained(*case, make_grid(*shape), epochs=4)[1]] for case in CASES}


@pytest.mark.parametrize("shape", [(2, 1), pytest.param((1, 2), marks=pytest.mark.slow)])
def test_any_grid_of_ranks_gives_the_losses_of_one(shape):
    alone = _losses(0, (1, 1))
    assert set(alone) == set(CASES)
    for result in run_ranks(_losses, 2, shape):
        for case, history in alone.items():
            for losses, expected in zip(result[case], history, strict=True):
                assert losses == pytest.approx(expected, rel=1e-4), case


FITTED = sorted(set(MODELS) - set(TRAINED) - set(RATING))
ACROSS = ("cross_ridge", "co_occurrence")  # they rank one domain by histories in another


@pytest.mark.parametrize("name", FITTED)
def test_a_closed_form_is_the_same_each_time_and_is_stored_as_it_was_evaluated(name, tmp_path):
    data, holdouts = checkerboards(2)
    spec = MODELS[name]
    made, again = (spec.fit(spec.presets["default"], data) for _ in range(2))
    assert len(holdouts) == 2
    for holdout in holdouts:
        users = torch.from_numpy(holdout.users)
        scores = made[holdout.domain].scores(users)
        assert torch.isfinite(scores).all()
        assert torch.equal(again[holdout.domain].scores(users), scores)
        save_scorer(made[holdout.domain], tmp_path / holdout.domain)
        assert torch.equal(load_scorer(tmp_path / holdout.domain).scores(users), scores)


@pytest.mark.parametrize("name", sorted(set(FITTED) - set(ACROSS)))
def test_closed_forms_that_know_persons_find_the_withheld_items_of_a_checkerboard(name):
    data, holdouts = checkerboards(1)
    spec = MODELS[name]
    found = rank(spec.fit(spec.presets["default"], data)[holdouts[0].domain], holdouts[0], (1,)).means()["hr@1"]
    assert (found > 0.9) == (name != "popularity")


RATED = sorted((name, preset) for name, spec in RATING.items() for preset in spec.presets)


def _rated(name, preset, seed):
    """The preset, made small: narrow tables, few epochs."""
    spec = RATING[name]
    plain = config.plain(spec.presets[preset])
    for part in (plain, plain.get("pretrain", {}), plain.get("meta", {})):
        if "epochs" in part:
            part.update(epochs=2, batch_size=256)
    if "factors" in plain:
        plain["factors"].update(width=2, source_ridge=2.0, target_ridges=[2.0, 10.0])
    if "ranking" in plain:
        plain["ranking"].update(ridges=[1.0], exponents=[0.0], popularity=[0.1])
    settings = config.build(spec.config, plain)
    assert config.build(spec.config, config.plain(settings)) == settings
    problem, held, test = planted(n_users=120)
    model = spec.make(settings, problem, held, seed)
    run_stages(model, seed)
    return model.scorer(), test


def test_there_are_models_of_ratings_to_test():
    assert {("mimnet", "default"), ("mimnet", "compat"), ("ptupcdr", "default"), ("scalar_bridge", "default")} <= set(
        RATED
    )


@pytest.mark.parametrize(("name", "preset"), RATED)
def test_a_model_of_ratings_is_the_same_each_time_and_is_stored_as_it_was_evaluated(name, preset, tmp_path):
    (scorer, test), (again, _), (other, _) = (_rated(name, preset, seed) for seed in (1, 1, 2))
    users, items = torch.from_numpy(test.users.copy()), torch.from_numpy(test.items.copy())
    predicted = scorer.pairs(users, items)
    assert torch.isfinite(predicted).all()
    assert torch.equal(again.pairs(users, items), predicted)
    assert torch.equal(other.pairs(users, items), predicted) == (name == "rating_floor" and preset == "plain")
    save_scorer(scorer, tmp_path)
    assert torch.equal(load_scorer(tmp_path).pairs(users, items), predicted)
