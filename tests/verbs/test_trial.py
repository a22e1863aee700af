from raymm.verbs.run import is_run
from raymm.verbs.trial import TrialPlace, nested, run_trial


def test_dotted_names_are_set_in_a_copy():
    base = {"train": {"seed": 1, "loop": {"epochs": 2}}}
    made = nested(base, {"train.loop.epochs": 3, "settings.width": 4})
    assert made == {"train": {"seed": 1, "loop": {"epochs": 3}}, "settings": {"width": 4}}
    assert base == {"train": {"seed": 1, "loop": {"epochs": 2}}}


def test_a_trial_leaves_a_run_folder_and_reports_its_value_once_it_stands(tmp_path, prepared_sample):
    reports = []

    def report(result):
        reports.append((is_run(tmp_path / "one"), result))

    place = TrialPlace({"model": "item_knn"}, prepared_sample, tmp_path, "drawn")
    for _ in range(2):  # the second finds the run finished
        run_trial(place, "one", {"settings.neighbours": 20}, report)
    assert [(stands, result["finished"]) for stands, result in reports] == [(True, True)] * 2
    first, again = (result for _, result in reports)
    assert first["value"] == again["value"] == first["records"][0]["validation"]["ndcg@10"] > 0
