"""Models in closed form go the way of all models, without Ray."""

import pytest

from raymm.data.prepared import open_prepared
from raymm.data.sealed import open_sealed
from raymm.errors import ArtefactError, DataError
from raymm.evaluation.ranking import rank
from raymm.evaluation.values import read_values
from raymm.experiment import build_experiment
from raymm.models.baselines import popularity
from raymm.verbs.evaluate import evaluate, report_folder, stored_record
from raymm.verbs.train import TrainRequest, train


def _run(prepared, folder, model, **changes):
    request = TrainRequest(build_experiment({"model": model, "train": changes}), prepared, folder)
    epochs = []
    return train(request, None, lambda record: epochs.append(record["epoch"]))[0], epochs


@pytest.mark.parametrize("model", ["popularity", "item_knn"])
def test_a_closed_form_is_fitted_validated_and_evaluated(model, prepared_sample, tmp_path):
    run, epochs = _run(prepared_sample, tmp_path / model, model)
    assert epochs == [1]
    assert run.domains == ("arts", "office")
    assert run.manifest.facts["workers"] == 0
    validation = run.history[0]["validation"]
    assert validation["ndcg@10"] == pytest.approx((validation["arts.ndcg@10"] + validation["office.ndcg@10"]) / 2)
    found = evaluate(run.folder, None, None)
    holdout = open_sealed(prepared_sample)[0]
    expected = rank(run.scorers()["arts"], holdout, (5, 10, 20)).means()
    assert found.record.domains[0].means[model] == pytest.approx(expected)
    assert (found.record.history, found.record.selection) == ((), "")
    assert found.record.baseline == ("item_knn" if model == "popularity" else "popularity")
    assert _run(prepared_sample, tmp_path / model, model)[1] == []  # it is there already


def test_a_place_that_is_taken_is_seen_before_the_training(prepared_sample, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, words in (("notes", "content that is no run"), ("file", "a file")):
        with pytest.raises(ArtefactError, match=words):
            _run(prepared_sample, tmp_path / name, "popularity")
    assert not (tmp_path / ".training").exists()


def test_a_run_about_one_domain_has_that_domain_alone_from_training_to_report(prepared_sample, tmp_path):
    run, _ = _run(prepared_sample, tmp_path / "office", "item_knn", domain="office")
    assert run.domains == ("office",)
    found = evaluate(run.folder, None, None)
    assert [result.facts.name for result in found.record.domains] == ["office"]
    with pytest.raises(DataError, match="'arts', 'office'"):
        _run(prepared_sample, tmp_path / "books", "item_knn", domain="books")


def test_a_model_of_one_domain_asks_which_before_anything_is_started(prepared_sample, tmp_path):
    with pytest.raises(DataError, match="--domain arts"):
        _run(prepared_sample, tmp_path / "gume", "gume")


def test_hiding_less_from_the_test_ranking_ranks_held_out_items_no_higher(prepared_sample, tmp_path):
    ranks = []
    for hides in ("known", "training"):
        run, _ = _run(prepared_sample, tmp_path / hides, "popularity", test_hides=hides, domain="arts")
        found = evaluate(run.folder, None, None)
        ranks.append(read_values(report_folder(run.folder) / "arts.popularity.npz").ranks)
        assert any("validation interactions compete" in words for words in found.record.warnings) == (hides != "known")
    assert (ranks[1] >= ranks[0]).all()
    assert (ranks[1] > ranks[0]).any()


def test_validation_and_test_rank_among_the_same_candidates_for_all_models_and_the_report_says_so(
    prepared_sample, tmp_path
):
    run, _ = _run(prepared_sample, tmp_path / "ease", "ease", candidates=99, domain="arts")
    prepared, cutoffs = open_prepared(prepared_sample), (5, 10, 20)
    validation = rank(run.scorers()["arts"], prepared.validation()[0], cutoffs, candidates=99).means()
    assert {name: run.history[0]["validation"][name] for name in validation} == pytest.approx(validation)
    found = evaluate(run.folder, None, None)
    (result,) = found.record.domains
    holdout = open_sealed(prepared_sample)[0]
    popular = popularity.fit(popularity.PopularityConfig(), prepared.train_data("none"))["arts"]
    for name, scorer in {"ease": run.scorers()["arts"], "popularity": popular}.items():
        assert result.means[name] == pytest.approx(rank(scorer, holdout, cutoffs, candidates=99).means())
        assert result.means[name]["hr@10"] > rank(scorer, holdout, cutoffs).means()["hr@10"]
    assert found.record.candidates == 99
    assert any("among 99 sampled candidates" in words for words in found.record.warnings)
    page = found.page.read_text()
    assert "what is held out ranked among 99 sampled candidates of the" in page
    assert "coverage@20" not in page
    assert not any(result.catalogue.values())
    assert result.examples[0].recommended
    assert stored_record(run) == found.record
