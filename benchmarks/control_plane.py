"""How fast lists are, beside Airflow's own list of DAG runs on the same server: ``python -m benchmarks.control_plane``.

An API server on Postgres (or SQLite), tables filled with endpoints and jobs that ended, and each request in turn with Airflow's
own of the same page size. What counts is the ratio of the medians: the machine is the same, and both go through the same login.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.server import postgres
from tests.server.conftest import ApiServer, running

PAGE = 25
NAME = "team-{:03}"
FILL = """
import json, random, sys, uuid
from datetime import UTC, datetime, timedelta
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import insert, inspect, select

jobs, names = int(sys.argv[1]), sys.argv[2:]
draw, now = random.Random(7), datetime.now(UTC)

def columns(row):
    return {attribute.columns[0].name: getattr(row, attribute.key) for attribute in inspect(type(row)).column_attrs
            if attribute.columns[0].table is type(row).__table__}

def copied(table, rows):
    return [{column.key: row[column.name] for column in table.columns if column.name in row} for row in rows]

with create_session() as session:
    templates = []
    for name in names:
        dag = DBDagBag().get_latest_version_of_dag(f"batch_endpoint.{name}", session=session)
        run = dag.create_dagrun(run_id="first", run_after=now - timedelta(days=90), conf={"input": "s3://lake/raw"},
            run_type=DagRunType.MANUAL, triggered_by=DagRunTriggeredByType.REST_API, triggering_user_name="admin",
            state=DagRunState.SUCCESS, session=session)
        session.flush()
        tasks = session.scalars(select(TaskInstance).where(TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == "first")).all()
        templates.append((columns(run), [columns(task) for task in tasks]))
    session.commit()
    number = 0
    while number < jobs:
        runs, tasks = [], []
        for _ in range(min(1000, jobs - number)):
            run, instances = templates[draw.randrange(len(templates))]
            begun = now - timedelta(days=60) * (1 - number / jobs)
            state = "failed" if draw.random() < 0.1 else "success"
            facts = {"run_id": f"job-{number:06}", "state": state, "run_after": begun, "queued_at": begun, "start_date": begun,
                     "end_date": begun + timedelta(minutes=5), "updated_at": begun, "created_at": begun}
            runs.append({name: value for name, value in (run | facts).items() if name != "id"})
            tasks += [entry | {"id": uuid.uuid4(), "run_id": facts["run_id"], "state": state, "start_date": begun,
                      "end_date": facts["end_date"]} for entry in instances]
            number += 1
        session.execute(insert(DagRun.__table__), copied(DagRun.__table__, runs))
        session.execute(insert(TaskInstance.__table__), copied(TaskInstance.__table__, tasks))
        ids = {(row.dag_id, row.run_id): row.id for row in session.execute(
            select(DagRun.id, DagRun.dag_id, DagRun.run_id).where(DagRun.run_id.in_([run["run_id"] for run in runs])))}
        said = []
        for run in runs:
            endpoint = run["dag_id"].removeprefix("batch_endpoint.")
            reference = {"endpoint": endpoint, "deployment": "main", "deployment_revision": "0" * 16, "job": run["run_id"],
                         "input_uri": "s3://lake/raw", "output_uri": f"s3://lake/out/{run['run_id']}"}
            counts = {"listed": 1000, "succeeded": 990, "failed": 10, "rows": 99000}
            for task, key, value in (("plan", "job", reference), ("plan", "summary", {"items": 1000, "shards": 20}),
                                     ("publish", "summary", counts)):
                said.append({"dag_run_id": ids[run["dag_id"], run["run_id"]], "task_id": task, "map_index": -1, "key": key,
                             "dag_id": run["dag_id"], "run_id": run["run_id"], "value": XComModel.serialize_value(value),
                             "timestamp": now})
        session.execute(insert(XComModel.__table__), said)
        session.commit()
"""


@contextmanager
def filled(database: str, endpoints: int, jobs: int) -> Iterator[ApiServer]:
    """Run an API server with so many endpoints and jobs in its tables."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if database == "sqlite":
            with running(root) as server:
                _fill(server, endpoints, jobs)
                yield server
            return
        with postgres.run() as url, running(root, url) as server:
            _fill(server, endpoints, jobs)
            yield server


def _fill(server: ApiServer, endpoints: int, jobs: int) -> None:
    names = [NAME.format(number) for number in range(endpoints)]
    for name in names:
        server.rest(
            "PUT", f"/v1/endpoints/{name}", json={"description": f"the endpoint {name}", "tags": {"team": name}}
        )
        deployment = {
            "type": "model", "model": "models:/flights/3", "settings": {"mini_batch_size": 10},
        }  # fmt: skip
        server.rest("PUT", f"/v1/endpoints/{name}/deployments/main", json=deployment).raise_for_status()
        server.rest("PUT", f"/v1/endpoints/{name}/default", json={"deployment": "main"}).raise_for_status()
    server.serialize(*names)
    server.python(FILL, str(jobs), *names)
    begun = time.monotonic()
    server.run("batch-endpoints", "jobs", "sync")
    print(f"jobs sync: {time.monotonic() - begun:.1f} s", file=sys.stderr)


def requests(endpoints: int, jobs: int) -> dict[str, str]:
    """Return what pages and commands ask for, by what it is for."""
    page = [NAME.format(number) for number in range(min(PAGE, endpoints))]
    of_page = "&".join(f"endpoint={name}" for name in page)
    first, last = page[0], max(jobs - PAGE, 0)
    return {
        "jobs list (and the page of jobs)": f"/v1/jobs?limit={PAGE}",
        "jobs list, the last page": f"/v1/jobs?limit={PAGE}&offset={last}",
        "jobs list --state Failed": f"/v1/jobs?limit={PAGE}&state=Failed",
        "jobs list of one endpoint": f"/v1/endpoints/{first}/jobs?limit={PAGE}",
        "page of endpoints": f"/v1/endpoints?limit={PAGE}",
        "page of endpoints: statistics": f"/v1/statistics?{of_page}&days=30",
        "page of an endpoint": f"/v1/endpoints/{first}",
        "page of an endpoint: statistics": f"/v1/endpoints/{first}/statistics?days=30",
        "page of an endpoint: deployments": f"/v1/endpoints/{first}/deployments",
        "page of an endpoint: history": f"/v1/endpoints/{first}/revisions?limit=20",
        "page of a job": "/v1/endpoints/{endpoint}/jobs/{job}",
        "what one may do": f"/v1/session?endpoint={first}",
    }


def measure(server: ApiServer, role: str, wanted: dict[str, str], rounds: int) -> dict[str, tuple[float, float]]:
    """Return, for each request, the median of its seconds and of those of Airflow's own list right after it."""
    headers = {"Authorization": f"Bearer {server.token(role)}"}
    newest = server.rest("GET", "/v1/jobs?limit=1").json()["items"][0]
    peer = f"{server.url}/api/v2/dags/~/dagRuns?limit={PAGE}&order_by=-run_after"
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in wanted}
    with httpx.Client(headers=headers, timeout=120) as client:
        for turn in range(rounds + 2):
            for name, path in wanted.items():
                ours = f"{server.url}/batch-endpoints{path.format(endpoint=newest['endpoint'], job=newest['name'])}"
                for which, url in enumerate((ours, peer)):
                    begun = time.perf_counter()
                    client.get(url).raise_for_status()
                    if turn >= 2:
                        seconds[name][which].append(time.perf_counter() - begun)
    return {name: (statistics.median(ours), statistics.median(theirs)) for name, (ours, theirs) in seconds.items()}


def main() -> None:
    """Fill, measure, and say what is slower than it may be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control_plane", description=__doc__)
    parser.add_argument("--endpoints", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--database", choices=["postgres", "sqlite"], default="postgres")
    parser.add_argument("--most", type=float, default=2.0, help="the ratio that no request may exceed")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    figures = {}
    slow = []
    with filled(options.database, options.endpoints, options.jobs) as server:
        wanted = requests(options.endpoints, options.jobs)
        for role in ("admin", "viewer"):
            may = wanted if role == "admin" else {name: path for name, path in wanted.items() if _is_for_all(path)}
            print(f"\n{role}, {options.jobs:,} jobs of {options.endpoints} endpoints, {options.database}")
            print(f"{'request':40} {'ours':>9} {'Airflow':>9} {'ratio':>6}")
            found = measure(server, role, may, options.rounds)
            for name, (ours, theirs) in found.items():
                print(f"{name:40} {1000 * ours:6.1f} ms {1000 * theirs:6.1f} ms {ours / theirs:6.2f}")
                slow += [f"{name} as {role}: {ours / theirs:.2f}"] if ours > options.most * theirs else []
            figures[role] = found
    if options.json:
        options.json.write_text(json.dumps(vars(options) | {"json": None, "seconds": figures}, indent=1))
    if slow:
        raise SystemExit(f"slower than {options.most} times Airflow's list of DAG runs: {'; '.join(slow)}")


def _is_for_all(path: str) -> bool:
    return not any(word in path for word in ("deployments", "revisions"))


if __name__ == "__main__":
    main()
