"""A folder that one driver at a time works in."""

from __future__ import annotations

import contextlib
import fcntl
import warnings
from collections.abc import Iterator
from pathlib import Path

from raymm.errors import ConfigError


@contextlib.contextmanager
def owned(folder: Path, what: str = "a sweep") -> Iterator[None]:
    """Keep a second driver off a folder; the lock ends with the process, however it ends.

    Args:
        folder: The folder; made if it is not there.
        what: What is done in it, for the message.

    Raises:
        ConfigError: Another driver works there now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise ConfigError(
                f"{what} that runs now", "one driver at a time", str(folder), "wait for it, or choose another folder"
            ) from error
        except OSError:
            warnings.warn(f"{folder}: storage without locks; see that no second driver works there", stacklevel=3)
        yield
