from __future__ import annotations

import pytest
from airflow.utils.log.file_task_handler import StructuredLogMessage

from airflow_batch_endpoints.services.logs import _without_sources

LOG = ["::group::Pre Execute", "::endgroup::", "squaring 3 numbers"]


@pytest.mark.parametrize(
    "sources",
    [
        [],
        ["::group::Log message source details", "::endgroup::"],
        [
            "::group::Log message source details",
            "/logs/attempt=1.log",
            "!!!! Please make sure\nSee more",
            "::endgroup::",
        ],
    ],
)
@pytest.mark.parametrize("log", [[], LOG])
def test_where_a_log_was_found_is_no_part_of_it(sources: list[str], log: list[str]) -> None:
    messages = [StructuredLogMessage(event=line) for line in sources + log]
    assert [message.event for message in _without_sources(messages)] == log
