"""The checks of every document store, run where tasks run."""

from __future__ import annotations

from airflow.sdk import dag, task


@dag(schedule=None)
def store_contract():
    @task
    def check() -> list[str]:
        from airflow_batch_endpoints.registry.task import TaskStore
        from tests.unit.registry import contract

        for each in contract.CHECKS:
            each(TaskStore())
        return [each.__name__ for each in contract.CHECKS]

    check()


store_contract()
