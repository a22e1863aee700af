"""One driver at a time in a folder."""

import errno

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


def test_storage_without_locks_is_worked_in_with_a_warning(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.warns(UserWarning, match="without locks"), owned(tmp_path):
        assert (tmp_path / ".lock").exists()
