"""The work of a deployment that names a DAG: a run of that DAG for each job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.hooks.dag_run import is_paused
from airflow_batch_endpoints.jobs import tasks
from airflow_batch_endpoints.jobs.naming import other_run
from airflow_batch_endpoints.operators.job import (
    ERROR,
    SUMMARY,
    details,
    planned_job,
    require_own,
    stop_if_asked,
    submission_of,
)
from airflow_batch_endpoints.operators.run import Run, RunOperator
from airflow_batch_endpoints.triggers.job import OtherDagTrigger
from airflow_batch_endpoints.triggers.run import DELETED

if TYPE_CHECKING:
    from airflow.sdk import Context

RUN = "run"
"""Key of the XCom that names the run."""


class OtherDagOperator(RunOperator):
    """Runs the DAG that the job's deployment names, with the job's inputs as its parameters, and waits for it.

    A task cannot end a run of another DAG. When the job is canceled, the processes that may do so end that run: at once when it is
    canceled through the REST interface, a page or the command line, else when they next look at the job.

    :param endpoint: name of the endpoint.
    :param deployment: name of the deployment.
    :param plan_task_id: id of the task that planned the job.
    """

    def __init__(self, *, endpoint: str, deployment: str, plan_task_id: str = tasks.PLAN, **kwargs: Any) -> None:
        super().__init__(deferrable=True, **kwargs)
        self.endpoint = endpoint
        self.deployment = deployment
        self.plan_task_id = plan_task_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the run, or find it again, and wait."""
        require_own(planned_job(context, self.plan_task_id), self.deployment, None)
        stop_if_asked(context, self.endpoint)
        return super().execute(context)

    def identify(self, context: Context) -> tuple[str, str, str]:
        """Return the run: it is named after the job."""
        dag = str(details(context, self.plan_task_id)["dag_id"])
        run = other_run(self.endpoint, str(context["dag_run"].run_id))
        return dag, run, f"run {run!r} of DAG {dag!r}"

    def run_conf(self, context: Context) -> dict[str, Any]:
        """Return the inputs of the job."""
        return dict(details(context, self.plan_task_id)["inputs"])

    def start(self, context: Context, run: Run, *, resume: bool = False) -> bool:
        """Start the run, unless its DAG is paused or gone: then it would wait for ever."""
        paused = is_paused(run.dag_id)
        try:
            if paused is None:
                raise UserError(f"deployment {self.deployment!r} runs DAG {run.dag_id!r}, and there is no such DAG")
            if paused:
                raise UserError(f"DAG {run.dag_id!r} is paused; unpause it, then clear this run")
            return super().start(context, run, resume=resume)
        except UserError as error:
            context["ti"].xcom_push(ERROR, str(error))
            raise

    def tell(self, context: Context, run: Run) -> dict[str, Any]:
        """Leave the names of the DAG and of the run."""
        told = {"dag_id": run.dag_id, "run_id": run.run_id}
        context["ti"].xcom_push(RUN, told)
        return told

    def trigger(self, context: Context, run: Run) -> OtherDagTrigger:
        """Return what waits for the run."""
        return OtherDagTrigger(
            other_dag=run.dag_id,
            other_run=run.run_id,
            endpoint=self.endpoint,
            job=str(context["dag_run"].run_id),
            submission=submission_of(context),
            poll_interval=self.poll_interval,
        )

    def look(self, context: Context, run: Run) -> None:
        """End with the job."""
        stop_if_asked(context, self.endpoint)

    def end(self, run: Run, reason: str) -> None:
        """Leave the run to the processes that may end it."""
        self.log.info("%s is ended when the job is next looked at: %s", run.what, reason)

    def result(self, context: Context, run: Run, state: str) -> dict[str, Any]:
        """Report how the run ended."""
        told = self.tell(context, run)
        if state != "success":
            sentence = (
                f"{run.what} was deleted. Clear the run of the job to start it again"
                if state == DELETED
                else f"{run.what} has failed; see its tasks. Clearing the run of the job clears it, too"
            )
            context["ti"].xcom_push(ERROR, sentence)
            raise AirflowFailException(sentence)
        result = {"state": "Completed", **told}
        context["ti"].xcom_push(SUMMARY, result)
        return result
