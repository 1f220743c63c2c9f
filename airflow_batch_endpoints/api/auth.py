"""Who may do what: Airflow's own permissions, asked of its auth manager. A route that asks for none does not exist.

==============================================  =========================================================
to                                              the caller needs, in Airflow, the right to
==============================================  =========================================================
read an endpoint, its jobs, outputs             read the endpoint's DAG, its runs
invoke it, cancel a job                         trigger (and edit) runs of the endpoint's DAG
read logs                                       read the task logs of the endpoint's DAG
read deployments and revisions                  read the documents' Variables
change endpoints and deployments                edit (or delete) the documents' Variables
read assets, change them                        read, edit (or delete) their Variables
read, change computes and data stores           read, edit (or delete) Connections
==============================================  =========================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
    VariableDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends, Request

from airflow_batch_endpoints.database.session import open_session
from airflow_batch_endpoints.exceptions import ForbiddenError, NotFoundError
from airflow_batch_endpoints.jobs.naming import dag_id
from airflow_batch_endpoints.registry.keys import ENDPOINT
from airflow_batch_endpoints.registry.versions import list_key
from airflow_batch_endpoints.services.actor import Actor, audit
from airflow_batch_endpoints.services.documents import key_of

NAME_PATTERN = r"^[A-Za-z](-?[A-Za-z0-9])*$"
JOB_PATTERN = r"^[A-Za-z0-9_.~:+-]{1,250}$"
REVISION_PATTERN = r"^[0-9a-f]{1,64}$"
ASSET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
VERSION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,29}$"
_PATTERNS = {
    "endpoint": NAME_PATTERN,
    "deployment": NAME_PATTERN,
    "compute": NAME_PATTERN,
    "job": JOB_PATTERN,
    "revision": REVISION_PATTERN,
    "datastore": ASSET_PATTERN,
    "asset": ASSET_PATTERN,
    "version": VERSION_PATTERN,
}


class Caller:
    """The logged-in user, and what they may do.

    :param user: as Airflow's auth manager knows them.
    """

    def __init__(self, user: Any) -> None:
        self._user = user
        self.actor = Actor(str(user.get_name()), "rest")

    def may_dag(self, method: Any, endpoint: str, entity: DagAccessEntity | None = None) -> bool:
        """Tell whether they may do something with an endpoint's DAG."""
        name = dag_id(endpoint)
        team = DagModel.get_team_name(name) if conf.getboolean("core", "multi_team") else None
        details = DagDetails(id=name, team_name=team)
        return bool(
            get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=self._user)
        )

    def may_document(self, method: Any, key: str) -> bool:
        """Tell whether they may do something with the Variable that holds a document."""
        details = VariableDetails(key=key)
        return bool(get_auth_manager().is_authorized_variable(method=method, details=details, user=self._user))

    def may_computes(self, method: Any) -> bool:
        """Tell whether they may do something with computes and data stores, which decide identities as Connections do."""
        return bool(
            get_auth_manager().is_authorized_connection(method=method, details=ConnectionDetails(), user=self._user)
        )

    def readable(self, endpoints: set[str]) -> set[str]:
        """Return those endpoints whose DAGs they may read."""
        allowed = get_auth_manager().filter_authorized_dag_ids(
            dag_ids={dag_id(endpoint) for endpoint in endpoints}, user=self._user, method="GET"
        )
        return {endpoint for endpoint in endpoints if dag_id(endpoint) in allowed}

    def may_read_jobs(self, endpoint: str) -> bool:
        """Tell whether they may read an endpoint's jobs, which are runs of its DAG, and what they came to."""
        return self.may_dag("GET", endpoint, DagAccessEntity.RUN)

    def with_readable_jobs(self, endpoints: set[str]) -> set[str]:
        """Return those endpoints whose jobs they may read."""
        return {endpoint for endpoint in self.readable(endpoints) if self.may_read_jobs(endpoint)}


Right = Callable[[Caller, Mapping[str, str]], bool]
"""Tells of a caller and the names in the path whether they may."""


class Requires:
    """The dependency that every route has: the right to it, or a refusal that is kept in the audit log.

    :param right: what is needed.
    :param what: how the refusal calls it.
    """

    def __init__(self, right: Right, what: str) -> None:
        self._right = right
        self._what = what

    def __call__(self, request: Request, user: GetUserDep) -> Caller:
        """Return the caller.

        :raises NotFoundError: the path has a name that nothing can have.
        :raises ForbiddenError: they have no right to it.
        """
        caller = Caller(user)
        request.state.actor = caller.actor
        for name, value in request.path_params.items():
            if name in _PATTERNS and not re.fullmatch(_PATTERNS[name], value):
                raise NotFoundError(f"there is no {name} {ascii(value)[:80]}; that is no name of one")
        if not self._right(caller, request.path_params):
            refuse(request, caller.actor, self._what)
        return caller


def refuse(request: Request, actor: Actor, what: str, *, endpoint: str | None = None, job: str | None = None) -> None:
    """Refuse a request, and keep that.

    :param endpoint: whose it is, when the path does not say so.
    :param job: likewise.
    :raises ForbiddenError: always.
    """
    record_refusal(request, actor, f"no right to {what}", endpoint=endpoint, job=job)
    raise ForbiddenError(f"user {actor.name!r} has no right to {what}; ask who administers this Airflow")


def record_refusal(
    request: Request, actor: Actor, why: str, *, endpoint: str | None = None, job: str | None = None
) -> None:
    """Keep a refusal in the audit log."""
    endpoint, job = endpoint or request.path_params.get("endpoint"), job or request.path_params.get("job")
    with open_session() as session:
        audit(
            session,
            actor,
            "refused",
            dag=dag_id(endpoint) if endpoint and re.fullmatch(NAME_PATTERN, endpoint) else None,
            run=job if job and re.fullmatch(JOB_PATTERN, job) else None,
            method=request.method,
            path=request.url.path[:500],
            reason=why[:500],
        )


def _endpoint(method: Any, entity: DagAccessEntity | None = None) -> Right:
    return lambda caller, names: caller.may_dag(method, names["endpoint"], entity)


def _document(method: Any) -> Right:
    def right(caller: Caller, names: Mapping[str, str]) -> bool:
        endpoint, deployment = names["endpoint"], names.get("deployment")
        key = key_of("deployment", deployment, endpoint) if deployment else f"{ENDPOINT}{endpoint}"
        return caller.may_document(method, key)

    return right


def _asset(method: Any) -> Right:
    return lambda caller, names: caller.may_document(method, list_key(names["kind"], names["asset"]))


def _logged_in(_: Caller, __: Mapping[str, str]) -> bool:
    return True


def _needs(right: Right, what: str) -> Any:
    return Annotated[Caller, Depends(Requires(right, what))]


LoggedIn = _needs(_logged_in, "use this")
"""For lists, which are cut down to what the caller may read, and for what decides by its body."""
MayReadEndpoint = _needs(_endpoint("GET"), "read this endpoint")
MayInvoke = _needs(_endpoint("POST", DagAccessEntity.RUN), "invoke this endpoint")
MayReadJobs = _needs(lambda caller, names: caller.may_read_jobs(names["endpoint"]), "read jobs of this endpoint")
MayEditJobs = _needs(_endpoint("PUT", DagAccessEntity.RUN), "change jobs of this endpoint")
MayReadLogs = _needs(_endpoint("GET", DagAccessEntity.TASK_LOGS), "read logs of this endpoint")
MayReadDocument = _needs(_document("GET"), "read this document")
MayEditDocument = _needs(_document("PUT"), "change this document")
MayDeleteDocument = _needs(_document("DELETE"), "delete this document")
MayReadComputes = _needs(lambda caller, _: caller.may_computes("GET"), "read computes")
MayEditComputes = _needs(lambda caller, _: caller.may_computes("PUT"), "change computes")
MayDeleteComputes = _needs(lambda caller, _: caller.may_computes("DELETE"), "delete computes")
MayReadDatastores = _needs(lambda caller, _: caller.may_computes("GET"), "read data stores")
MayEditDatastores = _needs(lambda caller, _: caller.may_computes("PUT"), "change data stores")
MayDeleteDatastores = _needs(lambda caller, _: caller.may_computes("DELETE"), "delete data stores")
MayReadAsset = _needs(_asset("GET"), "read this asset")
MayEditAsset = _needs(_asset("PUT"), "change this asset")
MayDeleteAsset = _needs(_asset("DELETE"), "delete this asset")
