"""What is asked of the registry when a job is resolved, and what all kinds of jobs need of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_batch_endpoints.config import Settings
from airflow_batch_endpoints.documents.job import JobRequest
from airflow_batch_endpoints.jobs.launch import Launch
from airflow_batch_endpoints.jobs.naming import path_name
from airflow_batch_endpoints.jobs.spec import JobReference
from airflow_batch_endpoints.registry import launching
from airflow_batch_endpoints.registry.references import Place, locate_output
from airflow_batch_endpoints.registry.registry import Registry
from airflow_batch_endpoints.storage.uris import join

FindJob = Callable[[str], JobReference | None]
"""Tells of a job by its name, among those of one endpoint; ``None`` when there is none, or it was never planned."""


@dataclass(frozen=True)
class Asked:
    """A request, and where and for whom it is resolved."""

    registry: Registry
    request: JobRequest
    revision: str
    """Of the deployment."""
    job: str
    """Name of the job, which is the run id."""
    invoker: str | None
    """Who asked, as Airflow knows them."""
    settings: Settings

    def folder(self, text: str | None, *, what: str = "output") -> Place:
        """Return the job's own folder.

        :param text: where the request wants it; ``None`` for one below ``[batch_endpoints] default_output_uri``.
        """
        return locate_output(self.registry, text, self.settings, what=what) or Place(
            join(self.settings.default_output_uri, self.request.endpoint, path_name(self.job))
        )

    def launch(self, work: launching.Work, compute: str | None, places: list[Place]) -> Launch:
        """Return how workers are launched.

        :param compute: name of the compute; ``None`` for ``[batch_endpoints] default_compute``.
        :param places: what they read and write, in data stores or not.
        """
        found = self.registry.compute(compute or self.settings.default_compute).document
        launch = launching.pin(self.registry, work, found, invoker=self.invoker, settings=self.settings)
        return launching.with_access(launch, [place.datastore for place in places if place.datastore is not None])


def assets_of(places: list[Place]) -> tuple[str, ...]:
    """Return the versions of data assets that names stood for."""
    return tuple(dict.fromkeys(place.asset for place in places if place.asset is not None))
