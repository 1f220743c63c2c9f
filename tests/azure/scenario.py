"""Uses the SDK as its users do, and prints what it found as JSON. Runs where the SDK is installed, and nothing of ours is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests
from azure.ai.ml import Input, MLClient, Output
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.entities import BatchEndpoint, CodeConfiguration, ModelBatchDeployment, ModelBatchDeploymentSettings
from azure.core.credentials import AccessToken

ENDPOINT = "azure-more"


class AirflowCredential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        login = {"username": os.environ["AIRFLOW_USER"], "password": os.environ["AIRFLOW_PASSWORD"]}
        answer = requests.post(f"{os.environ['AIRFLOW_URL']}/auth/token", json=login, timeout=60)
        return AccessToken(answer.json()["access_token"], int(time.time()) + 3600)


def at(uri: str) -> str:
    return f"azureml:{quote(uri, safe='')}:1"


def numbers(path: str) -> dict[str, Input]:
    return {"numbers": Input(type="uri_folder", path=f"azureml://datastores/lake/paths/{path}")}


def refused(what: Callable[[], Any]) -> str:
    """Return the kind of error that something ends with."""
    try:
        what()
    except Exception as error:
        return type(error).__name__
    return "nothing"


found: dict[str, Any] = {}
client = MLClient(AirflowCredential(), "11111111-1111-1111-1111-111111111111", "group", "workspace")
endpoints, deployments, jobs = client.batch_endpoints, client.batch_deployments, client.jobs

endpoints.begin_create_or_update(BatchEndpoint(name=ENDPOINT, description="first")).result()
endpoints.begin_create_or_update(BatchEndpoint(name=ENDPOINT, description="second", tags={"a": "b"})).result()
for name, size in (("blue", 2), ("green", 3)):
    deployment = ModelBatchDeployment(
        name=name,
        endpoint_name=ENDPOINT,
        description=f"the {name} one",
        model=at(os.environ["MODEL_URI"]),
        code_configuration=CodeConfiguration(code=at(os.environ["CODE_URI"]), scoring_script="score.py"),
        environment="azureml:py311:3",
        compute="local",
        settings=ModelBatchDeploymentSettings(
            mini_batch_size=size, output_action="append_row", logging_level="warning"
        ),
        properties={"batchEndpoints.settings.error_threshold": '"5%"', "owner": "ann"},
    )
    deployments.begin_create_or_update(deployment).result()

# What Azure has no words for goes through the client and back unharmed.
green = deployments.get("green", ENDPOINT)
green.description = "changed"
deployments.begin_create_or_update(green).result()
green = deployments.get("green", ENDPOINT)
found["green"] = [green.description, green.mini_batch_size, green.logging_level, green.properties]

endpoint = endpoints.get(ENDPOINT)
found["endpoint"] = [endpoint.description, endpoint.tags, endpoint.provisioning_state]
found["default before"] = refused(lambda: endpoints.invoke(endpoint_name=ENDPOINT, inputs=numbers("numbers")))
endpoint.defaults.deployment_name = "blue"
endpoints.begin_create_or_update(endpoint).result()
found["listed"] = [
    ENDPOINT in [entry.name for entry in endpoints.list()],
    [entry.name for entry in deployments.list(ENDPOINT)],
]

# Without a deployment first: once one is named, the SDK names it in all that follow.
failing = endpoints.invoke(endpoint_name=ENDPOINT, inputs=numbers("nothing-there"), job_name="failing")
found["names"] = [failing.name, failing.id.rpartition("/")[2], failing.status]
found["repeated"] = refused(
    lambda: endpoints.invoke(endpoint_name=ENDPOINT, inputs=numbers("numbers"), job_name="failing")
)
canceled = endpoints.invoke(
    endpoint_name=ENDPOINT,
    deployment_name="green",
    inputs=numbers("numbers"),
    outputs={"score": Output(type="uri_file", path="azureml://datastores/out/paths/canceled")},
    params_override=[
        {"mini_batch_size": 1},
        {"error_threshold": 2},
        {"output_file_name": "p.csv"},
        {"retry_settings": {"max_retries": 2, "timeout": 90}},
        {"compute": {"instance_count": 2}},
    ],
    job_name="canceled",
    experiment_name="nightly",
)
jobs.begin_cancel(canceled.name).result()
found["canceled"] = [jobs.get(canceled.name).status, jobs.get("canceled").status]
found["canceled again"] = refused(lambda: jobs.begin_cancel(canceled.name).result())

found["refused"] = {
    "an endpoint that is not there": refused(lambda: endpoints.get("nobody")),
    "a deployment that is not there": refused(lambda: deployments.get("nobody", ENDPOINT)),
    "a job that is not there": refused(lambda: jobs.get("nobody")),
    "a datastore that is not there": refused(
        lambda: endpoints.invoke(
            endpoint_name=ENDPOINT, inputs={"a": Input(type="uri_folder", path="azureml://datastores/x/paths/y")}
        )
    ),
    "leaving a datastore": refused(lambda: endpoints.invoke(endpoint_name=ENDPOINT, inputs=numbers("../../../etc"))),
    "deleting the default": refused(lambda: deployments.begin_delete("blue", ENDPOINT).result()),
    "registered code": refused(
        lambda: deployments.begin_create_or_update(
            ModelBatchDeployment(
                name="red",
                endpoint_name=ENDPOINT,
                model="azureml:flights:3",
                code_configuration=CodeConfiguration(code="azureml:mycode:1", scoring_script="score.py"),
                settings=ModelBatchDeploymentSettings(mini_batch_size=1),
            )
        )
    ),
}

found["streamed"] = refused(lambda: jobs.stream(failing.name))
found["of the endpoint"] = sorted((job.name, job.status) for job in endpoints.list_jobs(ENDPOINT))
found["of a deployment"] = [(job.name, job.status) for job in deployments.list_jobs(ENDPOINT, name="green")]
found["of all"] = sorted(job.name for job in jobs.list() if job.experiment_name == ENDPOINT)
found["archived"] = len(list(jobs.list(list_view_type=ListViewType.ARCHIVED_ONLY)))

deployments.begin_delete("green", ENDPOINT).result()
found["left"] = [entry.name for entry in deployments.list(ENDPOINT)]
endpoints.begin_delete(ENDPOINT).result()
found["deleted"] = [refused(lambda: endpoints.get(ENDPOINT)), jobs.get("failing").status]
print(json.dumps(found))
