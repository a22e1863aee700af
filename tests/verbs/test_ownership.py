"""One driver at a time in a folder."""

import pytest

from raymm.errors import ConfigError
from raymm.verbs.ownership import owned


def test_a_second_driver_is_kept_off_until_the_first_ends(tmp_path):
    with owned(tmp_path / "new", "an experiment"):
        with pytest.raises(ConfigError, match="one driver at a time") as caught, owned(tmp_path / "new"):
            pass
        assert "that runs now" in str(caught.value)
    with owned(tmp_path / "new"):
        pass
