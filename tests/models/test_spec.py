import pytest
import torch

from raymm.errors import DataError
from raymm.models.registry import MODELS
from raymm.models.spec import InProcess, Resumable
from tests.toy_data import checkerboards


def test_data_of_another_number_of_domains_are_refused():
    spec = MODELS["sieoug"]
    spec.check(["arts", "office"])
    with pytest.raises(DataError, match=r"1 domains \(arts\)"):
        spec.check(["arts"])
    with pytest.raises(DataError, match="--domain arts"):
        MODELS["gume"].check(["arts", "office"])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_model_in_closed_form_takes_any_number_of_domains(count):
    spec = MODELS["popularity"]
    spec.check([f"domain{place}" for place in range(count)])
    data = checkerboards(count)[0]
    assert list(spec.fit(spec.presets["default"], data)) == [domain.name for domain in data.domains]


def test_without_workers_the_work_is_done_once_when_its_result_is_taken():
    calls = []

    def double(inputs):
        calls.append(1)
        return {"x": 2 * inputs["x"]}

    background = InProcess()
    background.submit(1, double, {"x": torch.ones(2)})
    background.submit(2, double, {"x": torch.zeros(2)})
    assert calls == []
    assert background.take(1)["x"].tolist() == [2, 2]
    assert background.take(2)["x"].tolist() == [0, 0]
    assert len(calls) == 2


def test_a_model_is_resumable_by_what_it_offers():
    class Remembers:
        def extra_state(self):
            return {}

        def load_extra_state(self, state):
            self.state = state

    assert isinstance(Remembers(), Resumable)
    assert not isinstance(torch.nn.Linear(1, 1), Resumable)
