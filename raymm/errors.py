"""The exceptions of raymm: each says what was found, what was expected, where, and what to do."""

from __future__ import annotations


class RaymmError(Exception):
    """A failure that a user can act on.

    The four parts are kept apart, so that a command line can lay them out and a test can look at one of them.

    Args:
        found: What was there, with the offending value.
        expected: What would have been right.
        where: A path, a setting's dotted name, or a stage.
        remedy: What to do next.
    """

    def __init__(self, found: str, expected: str = "", where: str = "", remedy: str = "") -> None:
        super().__init__(found, expected, where, remedy)  # all parts in args: exceptions travel between processes
        self.found = found
        self.expected = expected
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        """Lay the parts out, one a line; parts that are empty are left out."""
        labelled = (
            ("where", self.where),
            ("found", self.found),
            ("expected", self.expected),
            ("remedy", self.remedy),
        )
        return "\n".join(f"{label:>9}: {text}" for label, text in labelled if text)


class ConfigError(RaymmError):
    """A setting is unknown, of the wrong type, out of range, or at odds with another."""


class DataError(RaymmError):
    """Input data are missing, malformed or contradict each other."""


class ArtefactError(RaymmError):
    """A folder written by an earlier stage is missing, damaged, stale or of another schema."""


class SolverError(RaymmError):
    """A numerical solver cannot start, or did not reach the accuracy that was asked for."""


class TrainingError(RaymmError):
    """Training cannot start or go on: a loss that is not finite, a checkpoint that does not fit."""


class TrackingError(RaymmError):
    """The tracking server or the model registry refused, or holds something else than expected."""


class ClusterError(RaymmError):
    """Ray cannot be reached, or has not the resources that were asked for."""


def reason_of(error: Exception) -> str:
    """Say in one line why something failed, for tables and logs."""
    if not isinstance(error, RaymmError):
        return f"{type(error).__name__}: {error}".splitlines()[0]
    expected = f"; expected {error.expected}" if error.expected else ""
    where = f" ({error.where})" if error.where else ""
    return f"{type(error).__name__}: {error.found}{expected}{where}".replace("\n", "; ")
