from __future__ import annotations

import pytest

from tests.integration.conftest import RealAirflow
from tests.unit.registry import contract

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def test_the_store_of_tasks(airflow: RealAirflow) -> None:
    airflow.trigger("store_contract", "one")
    airflow.wait("store_contract", "one", "success")
    answer = airflow.api("GET", "dags/store_contract/dagRuns/one/taskInstances/check/xcomEntries/return_value")
    assert [check.__name__ for check in contract.CHECKS] == answer["value"]
