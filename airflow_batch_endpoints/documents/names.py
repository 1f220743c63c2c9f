"""Names: what Azure ML allows, which is also safe in paths, labels, DAG ids and shells."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

MAX_LENGTH = 32
"""Azure ML asks for at least 3 characters, too; a shorter name does no harm."""
_NAME = re.compile(r"[A-Za-z](-?[A-Za-z0-9])*\Z")


def check_name(value: str) -> str:
    """Return a name unchanged if it is one (rule: Azure ML's batch endpoint reference).

    :raises ValueError: when it is not.
    """
    if not _NAME.match(value) or len(value) > MAX_LENGTH:
        raise ValueError(
            f"a name: 1 to {MAX_LENGTH} letters, digits and single dashes, with a letter first and no dash at the end"
        )
    return value


Name = Annotated[str, AfterValidator(check_name)]
"""Name of an endpoint, a deployment or a compute."""


def _without_prefix(value: Any) -> Any:
    if isinstance(value, str) and "${{" in value:
        raise ValueError("the name of a compute; an input cannot say where a step runs")
    return value.removeprefix("azureml:") if isinstance(value, str) else value


ComputeName = Annotated[Name, BeforeValidator(_without_prefix)]
"""Name of a compute, as Azure ML writes it too: ``azureml:batch-cluster``."""
