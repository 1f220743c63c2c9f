"""Running another DAG from a task: one run for one task instance, whatever happens to the task."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferralTimeout

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.hooks.dag_run import start_run
from airflow_batch_endpoints.triggers.resuming import time_left
from airflow_batch_endpoints.triggers.run import final_state, run_state

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_batch_endpoints.triggers.run import RunTrigger

_SLICE_SECONDS = 0.2
_ENDED_BY_A_PERSON = ("failed", "success", "skipped", "removed")
"""What a task's state can be that is being ended, unless only its worker shuts down or it is to run again."""
_OVERDUE = "the task that invoked it exceeded its execution_timeout"


@dataclass(frozen=True)
class Run:
    """A run of a DAG."""

    dag_id: str
    run_id: str
    what: str
    """What people call it, such as ``job 'x'``."""


class RunOperator(BaseOperator):
    """Starts a run of another DAG, once, and waits for it. Base of operators.

    A retry finds the run again: it goes on waiting, takes the result, or resumes the run when it failed. A person who ends the task
    ends the run; a worker or triggerer that shuts down does not.

    :param wait_for_completion: whether to wait; otherwise the task succeeds when the run is started.
    :param deferrable: whether to wait in the triggerer, without a worker slot.
    :param poll_interval: seconds between looks at the run.
    """

    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self._ending = False

    # -- what is to be run, for subclasses to say ---------------------------------------------------------------------

    @abstractmethod
    def identify(self, context: Context) -> tuple[str, str, str]:
        """Return the ids of the DAG and of the run, the same for every try, and what people call the run."""

    @abstractmethod
    def run_conf(self, context: Context) -> dict[str, Any]:
        """Return the parameters of the run."""

    def start(self, context: Context, run: Run, *, resume: bool = False) -> bool:
        """Start the run, or clear it when it is to be resumed; return whether this was it."""
        return start_run(run.dag_id, run.run_id, self.run_conf(context), resume=resume)

    @abstractmethod
    def tell(self, context: Context, run: Run) -> dict[str, Any]:
        """Leave word of the run before it is waited for, and return what is the result without waiting."""

    @abstractmethod
    def trigger(self, context: Context, run: Run) -> RunTrigger:
        """Return what waits for the run in the triggerer."""

    def look(self, context: Context, run: Run) -> None:
        """Look whether there is a reason not to wait any longer; called at every look at the run."""

    @abstractmethod
    def end(self, run: Run, reason: str) -> None:
        """Ask for the end of the run, because this task is ended."""

    @abstractmethod
    def result(self, context: Context, run: Run, state: str) -> dict[str, Any]:
        """Return the result of a run that has ended, or raise.

        :param state: how it has ended: ``success``, ``failed``, or ``deleted`` by a person, alone or with its DAG.
        """

    # -- running it ---------------------------------------------------------------------------------------------------

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the run, or find it again, and wait."""
        run = self._submit(context)
        told = self.tell(context, run)
        return self._await(context, run) if self.wait_for_completion else told

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take the result after waiting in the triggerer; wait again when the run was cleared since."""
        run = self._run(context)
        if event.get("state") is None:
            self.look(context, run)
        return self._await(context, run)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after waiting in the triggerer, or end as :meth:`_wait` does when there was no more time to wait."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            self.end(self._run(context), _OVERDUE)
            raise AirflowTaskTimeout(f"the task exceeded its execution_timeout of {self.execution_timeout}") from None

    def on_kill(self) -> None:
        """Note that the task is being ended; :meth:`_wait` does what follows from it.

        The signal may have come in the middle of a request to the supervisor, and then no other can be made.
        """
        self._ending = True

    def _run(self, context: Context) -> Run:
        return Run(*self.identify(context))

    def _submit(self, context: Context) -> Run:
        """Start the run, reconnect to it, or resume it."""
        run = self._run(context)
        state = run_state(run.dag_id, run.run_id)
        try:
            if state is None:
                started = self.start(context, run)
                self.log.info("%s %s", "started" if started else "found", run.what)
            elif state == "failed":
                self.start(context, run, resume=True)
                self.log.info("%s had failed; its run is cleared and goes on", run.what)
            else:
                self.log.info("found %s (%s)", run.what, state)
        except UserError as error:
            raise AirflowFailException(str(error)) from None
        return run

    def _await(self, context: Context, run: Run) -> dict[str, Any]:
        """Return the result of the run when it has ended, which may be now."""
        state = final_state(run_state(run.dag_id, run.run_id))
        if state is None and self.deferrable:
            self.defer(
                trigger=self.trigger(context, run),
                method_name="execute_complete",
                timeout=time_left(context["ti"].start_date, self.execution_timeout),
            )
        return self.result(context, run, state or self._wait(context, run))

    def _wait(self, context: Context, run: Run) -> str:
        """Look until the run has ended, or this task has to."""
        try:
            while (state := final_state(run_state(run.dag_id, run.run_id))) is None:
                self.look(context, run)
                until = time.monotonic() + self.poll_interval
                while not self._ending and time.monotonic() < until:
                    time.sleep(min(_SLICE_SECONDS, self.poll_interval))
                if self._ending:
                    self._leave(context, run)
            return state
        except AirflowTaskTimeout:
            self.end(run, _OVERDUE)
            raise

    def _leave(self, context: Context, run: Run) -> None:
        """End early: with the run when a person wants it so, without it when only the worker shuts down."""
        if _own_state(context) not in _ENDED_BY_A_PERSON:
            raise AirflowException(f"the worker shuts down; {run.what} goes on, and a retry finds it again")
        self.end(run, "the task that invoked it was ended")
        raise AirflowFailException(f"the task was ended, and {run.what} with it")


def _own_state(context: Context) -> str | None:
    """Return what the server says of the state of this very task."""
    ti = context["ti"]
    index = -1 if ti.map_index is None else ti.map_index
    states = ti.get_task_states(dag_id=ti.dag_id, map_index=index, task_ids=[ti.task_id], run_ids=[ti.run_id])
    return next(iter(states.get(ti.run_id, {}).values()), None)
