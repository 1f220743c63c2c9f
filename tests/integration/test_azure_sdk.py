"""Azure ML's own Python SDK, unmodified, against a real Airflow that serves TLS."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.airflow_instance import free_port
from tests.azure.tls import write_certificate
from tests.integration.conftest import RealAirflow
from tests.pipelines import TWO_STEPS, look, states

pytestmark = [pytest.mark.integration, pytest.mark.extended, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "azure-sdk.md"
SCENARIO = ROOT / "tests" / "azure" / "scenario.py"
PYTHON = ROOT / ".azure" / "bin" / "python"
"""Has the SDK, in an environment of its own: some of what it needs is older than what Airflow needs. ``make`` makes it."""
SCRIPT = """
def init():
    print("ready to square")
def run(mini_batch):
    print(f"squaring {len(mini_batch)} numbers")
    return [int(open(path).read()) ** 2 for path in mini_batch]
"""


@dataclass
class Azure:
    """A second API server of an Airflow, over TLS, that answers the SDK."""

    airflow: RealAirflow
    port: int
    certificate: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def run(self, script: str, *, role: str = "op", **variables: str) -> str:
        """Run a program in a process of its own that has the SDK, and return what it printed."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.airflow.data),
            "REQUESTS_CA_BUNDLE": str(self.certificate),
            "AZUREML_RUN_POLLING_INTERVAL_MIN": "1",
            "AZUREML_RUN_POLLING_INTERVAL_MAX": "1",
            "AIRFLOW_URL": self.url,
            "AIRFLOW_USER": role,
            "AIRFLOW_PASSWORD": role,
            "MODEL_URI": (self.airflow.data / "squares" / "model").as_uri(),
            "CODE_URI": (self.airflow.data / "squares" / "code").as_uri(),
            **variables,
        }
        done = subprocess.run(
            [str(PYTHON), "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.airflow.data,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def azure(airflow: RealAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there; `make test-extended` makes it")
    folder = tmp_path_factory.mktemp("azure")
    certificate, port = write_certificate(folder), free_port(9443)
    azure = Azure(airflow, port, certificate.certificate)
    options = {
        "AIRFLOW__API__BASE_URL": azure.url,
        "AIRFLOW__BATCH_ENDPOINTS__AZURE_COMPAT": "True",
        "AIRFLOW__BATCH_ENDPOINTS__AZURE_DATASTORES": f"lake={airflow.data.as_uri()}, out={airflow.outputs.as_uri()}/azure",
    }
    command = (
        "api-server",
        "--port",
        str(port),
        "--ssl-cert",
        str(certificate.certificate),
        "--ssl-key",
        str(certificate.key),
    )
    log = folder / "api-server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            airflow.command(*command),
            env=airflow.environment() | options,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    context = ssl.create_default_context(cafile=certificate.certificate)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{azure.url}/api/v2/version", context=context, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    try:
        airflow.eventually(answers, seconds=300)
        numbers = airflow.data / "numbers"
        numbers.mkdir()
        for number in range(1, 8):
            (numbers / f"{number}.csv").write_text(f"{number}\n")
        for name, content in {"code/score.py": SCRIPT, "model/weights.txt": "1\n"}.items():
            path = airflow.data / "squares" / name
            path.parent.mkdir(parents=True)
            path.write_text(content)
        yield azure
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_the_walk_through_of_the_documentation(azure: Azure) -> None:
    (section,) = re.findall(r"## A walk through\n(.*?)\n## ", DOCUMENT.read_text(), re.DOTALL)
    printed = azure.run("\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL)))
    output = azure.airflow.outputs / "azure" / "squares"
    assert printed.splitlines()[-1] == f"JobStatus.COMPLETED {output.as_uri()}"
    assert sorted((output / "squares.csv").read_text().split()) == sorted(
        ["prediction", *(str(n**2) for n in range(1, 8))]
    )
    # Each log is streamed whole and once, though it is fetched again and again while it grows.
    for line in (
        "7 items in 3 mini-batches",
        "ready to square",
        "squaring 1 numbers",
        "7 items = 7 succeeded + 0 failed",
    ):
        assert printed.count(line) == 1, printed
    assert printed.count("squaring 3 numbers") == 2, printed


def test_it_is_off_unless_asked_for(airflow: RealAirflow) -> None:
    for path in ("/azure/discovery", "/azure/metadata/endpoints"):
        assert airflow.rest("GET", path).status_code == 404


def test_everything_else_the_sdk_may_do(azure: Azure) -> None:
    metadata = f"{azure.url}/batch-endpoints/azure/metadata/endpoints"
    printed = azure.run(SCENARIO.read_text(), ARM_CLOUD_METADATA_URL=metadata)
    found = json.loads(printed.splitlines()[-1])
    job = "azure-more_"
    states = [[f"{job}canceled", "Canceled"], [f"{job}failing", "Failed"]]
    properties = {"batchEndpoints.settings.error_threshold": '"5%"', "owner": "ann"}
    assert found == {
        "green": ["changed", 3, "warning", properties],
        "endpoint": ["second", {"a": "b"}, "Succeeded"],
        "default before": "ResourceNotFoundError",
        "listed": [True, ["blue", "green"]],
        "names": [f"{job}failing", f"{job}failing", "NotStarted"],
        "repeated": "ResourceExistsError",
        "canceled": ["Canceled", "Canceled"],
        "canceled again": "ResourceExistsError",
        "refused": {
            "an endpoint that is not there": "ResourceNotFoundError",
            "a deployment that is not there": "ResourceNotFoundError",
            "a job that is not there": "ResourceNotFoundError",
            "a datastore that is not there": "ResourceNotFoundError",
            "leaving a datastore": "HttpResponseError",
            "deleting the default": "ResourceExistsError",
            "registered code": "HttpResponseError",
        },
        "streamed": "JobException",
        "of the endpoint": states,
        "of a deployment": states[:1],
        "of all": [name for name, _ in states],
        "archived": 0,
        "left": ["blue"],
        "deleted": ["ResourceNotFoundError", "Failed"],
    }
    assert "input 'file://" in printed
    asked = azure.airflow.job("azure-more", "canceled")["request"]
    assert asked == {
        "deployment": "green",
        "inputs": {"numbers": {"type": "uri_folder", "path": f"{azure.airflow.data.as_uri()}/numbers"}},
        "outputs": {"score": {"path": f"{azure.airflow.outputs.as_uri()}/azure/canceled"}},
        "output_file_name": "p.csv", "instance_count": 2,
        "mini_batch_size": 1, "error_threshold": 2, "max_retries": 2, "timeout": 90,
    }  # fmt: skip


PIPELINE = """
import os, time, requests
from azure.ai.ml import Input, MLClient
from azure.ai.ml.entities import BatchEndpoint, PipelineComponentBatchDeployment
from azure.core.credentials import AccessToken

class Credential:
    def get_token(self, *scopes, **options):
        login = {"username": os.environ["AIRFLOW_USER"], "password": os.environ["AIRFLOW_PASSWORD"]}
        answer = requests.post(os.environ["AIRFLOW_URL"] + "/auth/token", json=login, timeout=60)
        return AccessToken(answer.json()["access_token"], int(time.time()) + 3600)

client = MLClient(Credential(), "11111111-1111-1111-1111-111111111111", "group", "workspace")
name = "azure-pipelines"
client.batch_endpoints.begin_create_or_update(BatchEndpoint(name=name)).result()
made = client.batch_deployments.begin_create_or_update(PipelineComponentBatchDeployment(
    name="steps", endpoint_name=name, component="azureml:counting-lines:1", settings={"continue_on_step_failure": False},
)).result()
print(made.component.rpartition("/components/")[2], made.settings)
print(client.batch_deployments.get("steps", name).name, [entry.name for entry in client.batch_deployments.list(name)])
endpoint = client.batch_endpoints.get(name)
endpoint.defaults.deployment_name = "steps"
client.batch_endpoints.begin_create_or_update(endpoint).result()
data = Input(type="uri_folder", path="azureml://datastores/lake/paths/numbers/")
job = client.batch_endpoints.invoke(endpoint_name=name, inputs={"data": data}, job_name="lines")
client.jobs.stream(job.name)
print(client.jobs.get(job.name).status)
"""


def test_a_pipeline_is_deployed_and_invoked(azure: Azure) -> None:
    made = azure.airflow.rest("PUT", "/v1/assets/component/counting-lines/versions/1", json=TWO_STEPS)
    assert made.status_code == 201, made.text
    metadata = f"{azure.url}/batch-endpoints/azure/metadata/endpoints"
    printed = azure.run(PIPELINE, ARM_CLOUD_METADATA_URL=metadata).splitlines()
    assert printed[0] == "counting-lines/versions/1 {'continue_on_step_failure': False}"
    assert printed[1] == "steps ['steps']"
    assert printed[-1] == "JobStatus.COMPLETED"
    job = look(azure.airflow, "azure-pipelines", "lines")
    assert (job["deployment_type"], set(states(job).values())) == ("pipeline", {"Completed"})
