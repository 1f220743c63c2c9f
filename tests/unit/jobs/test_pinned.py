from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs.pinned import read_pinned, read_spec

SPEC = {
    "endpoint": "e", "deployment": "d", "deployment_revision": "r", "job": "j", "input_uri": "file:///in",
    "output_uri": "file:///out", "model_uri": "file:///m", "settings": {},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"protocol_version": 2}, "protocol_version"),
        ({"settings": {"novelty": "hush"}}, "settings.novelty"),
        ({"type": "novelty"}, "all of it"),
    ],
)
def test_a_job_of_another_version_is_a_sentence_that_says_which_runs_here(change: dict[str, Any], told: str) -> None:
    assert read_spec(json.dumps(SPEC)).job == "j"
    spec = {**SPEC, **change}
    pinned = {"spec": spec, "plan": "p", "summary": {}}
    for read, content in ((read_spec, spec), (read_pinned, pinned)):
        with pytest.raises(UserError, match=f"airflow-batch-endpoints {__version__}.*{told}.*use an image") as caught:
            read(json.dumps(content))
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", "null", "{}", '{"spec": 1}'])
def test_what_is_no_job_is_a_sentence(content: str) -> None:
    for read in (read_spec, read_pinned):
        with pytest.raises(UserError, match="damaged"):
            read(content)
