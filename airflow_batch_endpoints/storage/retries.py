"""Which failures of a store are worth another try, and which are an answer."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TypeVar

from airflow_batch_endpoints.exceptions import BatchEndpointsError, InfrastructureError, UserError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

TRIES = 5
_FINAL = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


def translate(error: OSError, what: str) -> BatchEndpointsError:
    """Put a failure of the operating system or of a storage library into one of ours.

    :param error: the failure.
    :param what: what was tried, for the message.
    """
    if isinstance(error, PermissionError) or error.errno in (errno.EROFS, errno.EACCES):
        return UserError(f"{what}: permission denied ({error.strerror or error}); let the workers' account do it")
    if error.errno == errno.ENOSPC:
        return InfrastructureError(f"{what}: no space left on the device; make room and clear the run to go on")
    return InfrastructureError(f"{what}: {type(error).__name__}: {error}")


def retrying(what: str, call: Callable[[], Result]) -> Result:
    """Call a remote store, again with backoff when it fails in a way that may pass.

    :raises FileNotFoundError, FileExistsError: these are answers.
    :raises InfrastructureError: when it does not answer after :data:`TRIES` tries.
    """
    import tenacity

    retry = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_exponential(multiplier=0.2, max=10) + tenacity.wait_random(0, 0.2),
        retry=tenacity.retry_if_exception(lambda error: not isinstance(error, (*_FINAL, BatchEndpointsError))),
        before_sleep=lambda state: log.warning(
            "%s failed, trying again: %s", what, state.outcome and state.outcome.exception()
        ),
        reraise=True,
    )
    try:
        return retry(call)
    except (FileNotFoundError, FileExistsError, BatchEndpointsError):
        raise
    except OSError as error:
        raise translate(error, what) from error
    except Exception as error:
        # Storage libraries raise what they like; all of it means that the store did not do what it was asked.
        raise InfrastructureError(f"{what}: {type(error).__name__}: {error}") from error
