import pytest

from raymm.errors import DataError
from raymm.models.registry import MODELS
from tests.toy_data import checkerboards


def test_data_of_another_number_of_domains_are_refused():
    spec = MODELS["sieoug"]
    spec.check(checkerboards(2)[0])
    with pytest.raises(DataError, match=r"1 domains \(domain0\)"):
        spec.check(checkerboards(1)[0])
