"""The DAG of an endpoint in the metadata database: whether it is there, how to have it parsed, and how to retire it."""

from __future__ import annotations

import hashlib
import os

from airflow.models.dag import DagModel
from airflow.models.dagbag import DagPriorityParsingRequest
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.variable import Variable
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_batch_endpoints.jobs.naming import DAG_PREFIX, dag_id

DAG_FILE = "batch_endpoints.dag_file"


def has_dag(session: Session, endpoint: str) -> bool:
    """Tell whether an endpoint can be invoked: its DAG is parsed."""
    return bool(with_dag(session, [endpoint]))


def with_dag(session: Session, endpoints: list[str]) -> set[str]:
    """Return those of the endpoints that can be invoked."""
    ids = [dag_id(endpoint) for endpoint in endpoints]
    known = session.scalars(
        select(DagModel.dag_id).where(
            DagModel.dag_id.in_(ids),
            DagModel.is_stale.is_(False),
            select(SerializedDagModel.id).where(SerializedDagModel.dag_id == DagModel.dag_id).exists(),
        )
    )
    return {name.removeprefix(DAG_PREFIX) for name in known}


def retire_dag(session: Session, endpoint: str) -> None:
    """Take a deleted endpoint's DAG out of sight at once; the DAG processor would take a minute or two."""
    model = session.get(DagModel, dag_id(endpoint))
    if model is not None:
        model.is_stale = True


def request_parsing(session: Session) -> bool:
    """Ask the DAG processor to parse the file of the endpoint DAGs next. A request can be lost; ask again until it is done.

    :return: ``False`` when no such file is known.
    """
    found = _dag_file(session)
    if found is None:
        return False
    bundle, path = found
    # The table's own key, so that asking twice is one request.
    key = hashlib.md5(f"{bundle}:{path}".encode(), usedforsecurity=False).hexdigest()
    if session.get(DagPriorityParsingRequest, key) is None:
        request = DagPriorityParsingRequest(bundle_name=bundle, relative_fileloc=path)
        request.id = key
        session.add(request)
    return True


def _dag_file(session: Session) -> tuple[str, str] | None:
    """Return bundle and path of the file that defines the endpoint DAGs."""
    row = session.execute(
        select(DagModel.bundle_name, DagModel.relative_fileloc)
        .where(DagModel.dag_id.startswith(DAG_PREFIX, autoescape=True), DagModel.relative_fileloc.is_not(None))
        .order_by(DagModel.last_parsed_time.desc())
        .limit(1)
    ).first()
    if row is not None:
        return str(row[0]), str(row[1])
    variable = session.scalar(select(Variable).where(Variable.key == DAG_FILE))
    path = None if variable is None else variable.get_val()
    if not path:
        return None
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    for bundle in DagBundlesManager().get_all_dag_bundles():
        relative = os.path.relpath(path, bundle.path)
        if not relative.startswith(".."):
            return bundle.name, relative
    return None
