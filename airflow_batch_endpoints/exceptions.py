"""The errors of this package: one small tree, each class a kind of answer a caller can give.

::

    BatchEndpointsError
    ├── UserError                    the person who asked can mend it; never retried (exit code 2)
    │   ├── DocumentError            a document breaks its rules; carries one problem per field
    │   ├── NotFoundError            no endpoint, deployment, compute, model or job of that name
    │   ├── ConflictError            somebody was faster, or the name already means something else
    │   │   └── StaleError           a document is not the revision that was expected
    │   ├── ForbiddenError           who asks has no right to it
    │   ├── ReachError               a URI outside what the operator of this installation allows
    │   ├── InputError               nothing to score, or an input that cannot be listed
    │   ├── OutputExistsError        something else is already at the output
    │   └── ModelError               the model or the scoring script cannot be loaded
    ├── ThresholdExceededError       more items failed than ``error_threshold`` allows (exit code 3)
    ├── StoppedError                 asked to stop, by a signal or by a stop file (exit code 4)
    ├── IncompleteError              shards are missing at publication; clearing the run resumes (exit code 5)
    └── InfrastructureError          the machine, the network or the store; worth a retry (exit code 1)

Every message says what was found, what was expected and what to do. No class knows of HTTP or of Airflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class BatchEndpointsError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code: ClassVar[int] = 1
    """What a process ends with when nobody handles the error."""


class UserError(BatchEndpointsError):
    """Something the person who asked can mend."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a document."""

    source: str
    """File (or request) the document came from."""
    field: str
    """Dotted path of the field, as it is written in the document; ``(document)`` for the whole."""
    message: str
    """What was found and what is allowed, in one line."""

    def __str__(self) -> str:
        return f"{self.source}: {self.field}: {self.message}"


class DocumentError(UserError):
    """A document breaks its rules.

    :param problems: every problem of the document, in one pass.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NotFoundError(UserError):
    """No endpoint, deployment, compute, model or job of that name."""


class ConflictError(UserError):
    """Somebody was faster, or the name already means something else."""


class StaleError(ConflictError):
    """A document is not the revision that was expected."""


class ForbiddenError(UserError):
    """Who asks has no right to it."""


class ReachError(UserError):
    """A URI outside what the operator of this installation allows."""


class InputError(UserError):
    """Nothing to score, or an input that cannot be listed."""


class OutputExistsError(UserError):
    """Something else is already at the output."""


class ModelError(UserError):
    """The model or the scoring script cannot be loaded."""


class ThresholdExceededError(BatchEndpointsError):
    """More items failed than ``error_threshold`` allows."""

    exit_code = 3


class StoppedError(BatchEndpointsError):
    """Asked to stop before the work was done."""

    exit_code = 4


class IncompleteError(BatchEndpointsError):
    """Shards are missing at publication; clearing the run resumes the job."""

    exit_code = 5


class InfrastructureError(BatchEndpointsError):
    """The machine, the network or the store failed; worth a retry."""
