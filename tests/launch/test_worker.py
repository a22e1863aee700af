"""What a worker tells of its errors."""

import pytest

from raymm import errors
from raymm.launch.train import rebuilt
from raymm.launch.worker import described


@pytest.mark.parametrize("kind", ["SolverError", "DataError", "TrainingError"])
def test_an_error_travels_as_plain_data_and_comes_back_whole(kind):
    error = getattr(errors, kind)("found", "expected", "where", "remedy")
    again = rebuilt(described(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
