"""A browser walks the pages of a real Airflow with real jobs, in both themes, on a desk and on a phone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from tests.integration.conftest import RealAirflow
from tests.pipelines import TWO_STEPS, deploy, deploy_mini_batches, finish, invoke

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

REQUIRED = "BATCH_ENDPOINTS_BROWSER_TESTS"
"""Set to ``required``, a missing browser is a failure."""
SCREENSHOTS = "BATCH_ENDPOINTS_SCREENSHOTS"
"""A folder for screenshots of every page."""
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
NOT_OURS = (
    "status of 503",  # SQLite may be locked for longer than one waits for it; then the pages ask again
    "An iframe which has both allow-scripts and allow-same-origin",  # how Airflow frames every external view
    "ERR_NETWORK_CHANGED",  # what comes and goes with containers on this machine; then the pages ask again
)
"""What a browser says of a page that is no fault of the page."""
SECONDS = 90
EVIL_FILE = "<b onclick=alert(1)>&'.csv"
EVIL = '<img src=x onerror=window.hacked=1> & "quotes"'
SCRIPT = """
import os, time
def init(): pass
def run(batch):
    time.sleep(float(os.environ.get("PAUSE", "0")))
    rows = []
    for path in batch:
        text = open(path).read()
        if "bad" in text:
            value = "<img src=x onerror=window.hacked=1>" if "<" in path else "NA"
            raise ValueError("'%s' is no number in column 'dep_delay'" % value)
        rows.append("%s,%d" % (os.path.basename(path), len(text)))
    return rows
"""
PAGES = {
    "endpoints": ("/", "flights"),
    "endpoint": ("/endpoints/flights", "nightly-1"),
    "deployments": ("/endpoints/flights?tab=deployments", "Side by side"),
    "history": ("/endpoints/flights?tab=history", "created by admin|changed by admin"),
    "use": ("/endpoints/flights?tab=use", "BatchInvokeOperator"),
    "invoke": ("/endpoints/flights/invoke", "Start the job"),
    "job": ("/endpoints/flights/jobs/nightly-1", "10 of 10 items"),
    "failures": ("/endpoints/flights/jobs/nightly-1?tab=failures", "Traceback of the first"),
    "output": ("/endpoints/flights/jobs/nightly-1?tab=output", "prediction"),
    "documents": ("/endpoints/flights/jobs/nightly-1?tab=documents", "deployment as it was|endpoint_name"),
    "hostile": ("/endpoints/hostile/jobs/evil-1?tab=failures", "Traceback of the first"),
    "hostile-history": ("/endpoints/hostile?tab=history", "created by admin|changed by admin"),
    "failed-job": ("/endpoints/flights/jobs/strict-1", "Why it failed"),
    "pipeline": ("/endpoints/counting-lines/jobs/nightly-2", "2 of them reused"),
    "pipeline-failures": ("/endpoints/picky/jobs/nightly-1?tab=failures", "no threes"),
    "pipeline-output": ("/endpoints/picky/jobs/nightly-1?tab=output", "dead_letters/score.jsonl"),
    "pipeline-form": ("/endpoints/counting-lines/invoke", "Output result"),
    "jobs": ("/jobs", "nightly-1"),
    "assets": ("/assets", "azureml:flight-days:1"),
    "computes": ("/computes", "local"),
    "run": ("/run?dag_id=batch_endpoint.flights&run_id=nightly-1", "10 of 10 items"),
    "other-run": ("/run?dag_id=example_batch_etl&run_id=x", "Not a batch job"),
}
"""Address of each page, and what is on it when it is there."""


@dataclass
class Visitor:
    """A browser at the pages, as some user."""

    airflow: RealAirflow
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    def page(self, *, role: str = "admin", theme: str = "light", width: int = 1280) -> Page:
        context = self.browser.new_context(viewport={"width": width, "height": 900 if width > 600 else 800})
        context.set_default_timeout(SECONDS * 1000)
        context.add_cookies([{"name": "_token", "value": self.airflow.token(role), "url": self.airflow.url}])
        context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        where = (message.location or {}).get("url", "")
        is_ours = "/batch-endpoints/" in where and not any(known in message.text for known in NOT_OURS)
        if message.type in ("error", "warning") and is_ours:
            self.complaints.append(f"{where}: {message.text}")

    def go(self, page: Page, path: str) -> None:
        page.goto(f"{self.airflow.url}/batch-endpoints/ui{path}")


def find_browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        say = pytest.fail if os.environ.get(REQUIRED) == "required" else pytest.skip
        say(
            f"there is no Chromium here; install it (Debian: apt-get install chromium), {REQUIRED}=required makes this a failure"
        )
    return str(found)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_browser()
    # The machine may be busy with other tests; what is slow is not wrong.
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def visitor(airflow: RealAirflow, browser: Browser, jobs: None) -> Iterator[Visitor]:
    visitor = Visitor(airflow, browser)
    yield visitor
    for context in browser.contexts:
        context.close()
    assert visitor.complaints == []


def apply(airflow: RealAirflow, endpoint: dict[str, Any], **deployments: dict[str, Any]) -> None:
    name = endpoint["name"]
    documents = [endpoint] + [
        {
            "name": deployment, "endpoint_name": name, "type": "model", "model": {"path": "model"},
            "code_configuration": {"code": "code", "scoring_script": "score.py"}, **facts,
        }
        for deployment, facts in deployments.items()
    ]  # fmt: skip
    files = [
        ("document", (f"{number}.yml", json.dumps(document).encode())) for number, document in enumerate(documents)
    ]
    files += [("file", ("code/score.py", SCRIPT.encode())), ("file", ("model/weights.txt", b"1\n"))]
    answer = airflow.rest("POST", "/v1/apply", files=files)
    assert answer.status_code == 200, answer.text
    answer = airflow.rest("PUT", f"/v1/endpoints/{name}/default", json={"deployment": "main"})
    assert answer.status_code == 200, answer.text
    airflow.eventually(lambda: airflow.rest("GET", f"/v1/endpoints/{name}").json()["is_invokable"])


def start(airflow: RealAirflow, endpoint: str, job: str, folder: str, deployment: str = "main") -> None:
    data = {"data": {"JobInputType": "UriFolder", "Uri": (airflow.data / folder).as_uri()}}
    answer = airflow.rest(
        "POST",
        f"/v1/endpoints/{endpoint}/jobs",
        role="user",
        json={"properties": {"InputData": data, "name": job}},
        headers={"azureml-model-deployment": deployment},
    )
    assert answer.status_code in (200, 201), answer.text


@pytest.fixture(scope="module")
def jobs(airflow: RealAirflow) -> None:
    """Two endpoints with jobs that completed with failed items, and that failed; of one all that can be evil, is. A pipeline."""
    for folder, bad in (("nights", "2013-01-04.csv"), ("evil", EVIL_FILE)):
        (airflow.data / folder).mkdir(exist_ok=True)
        for day in range(1, 10):
            (airflow.data / folder / f"2013-01-{day:02}.csv").write_text("x\n" * day)
        (airflow.data / folder / bad).write_text("bad")
    (airflow.data / "nights" / "2013-01-10.csv").write_text("x\n")
    quick = {"mini_batch_size": 2, "retry_settings": {"max_retries": 0, "timeout": 60}}
    apply(
        airflow,
        {
            "name": "flights",
            "description": "Delays of flights out of New York, night by night",
            "tags": {"team": "flights"},
        },
        main={"description": "in production", "settings": quick},
        strict={"description": "no failed night is allowed", "settings": quick | {"error_threshold": 0}},
        slow={
            "resources": {"instance_count": 2},
            "settings": {"mini_batch_size": 1, "error_threshold": "50%", "environment_variables": {"PAUSE": "6"}},
        },
    )
    apply(
        airflow,
        {"name": "hostile", "description": EVIL, "tags": {"team": EVIL[:20]}},
        main={"description": EVIL, "settings": quick},
    )
    for name, document in {
        "assets/data/flight-days": {"type": "uri_folder", "path": "s3://lake/nights", "description": EVIL},
        "assets/environment/nights": {"image": "python:3.12"},
    }.items():
        assert airflow.rest("PUT", f"/v1/{name}/versions/1", json=document).status_code in (200, 201)
    lake = {"type": "uri", "uri": "s3://lake", "conn_id": "lake"}
    assert airflow.rest("PUT", "/v1/datastores/lake", json=lake).status_code in (200, 201)
    started = (
        ("flights", "nightly-1", "main", "nights", "success"),
        ("flights", "strict-1", "strict", "nights", "failed"),
        ("hostile", "evil-1", "main", "evil", "success"),
    )
    for endpoint, job, deployment, folder, _ in started:
        start(airflow, endpoint, job, folder, deployment)
    deploy(airflow, "counting-lines", TWO_STEPS)
    for job in ("nightly-1", "nightly-2"):
        invoke(airflow, "counting-lines", job, data=airflow.data / "nights")
        finish(airflow, "counting-lines", job)
    deploy_mini_batches(airflow, "picky", "steps", error_threshold=1)
    invoke(airflow, "picky", "nightly-1", data=airflow.inputs("few", 5), marks=str(airflow.data))
    finish(airflow, "picky", "nightly-1")
    for endpoint, job, _, _, state in started:
        airflow.wait(f"batch_endpoint.{endpoint}", job, state, seconds=400)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots are kept."""
    folder = Path(os.environ.get(SCREENSHOTS) or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("theme", "width"),
    [
        ("light", 1280),
        ("dark", 390),
        pytest.param("dark", 1280, marks=pytest.mark.extended),
        pytest.param("light", 390, marks=pytest.mark.extended),
    ],
)
def test_every_page(visitor: Visitor, pictures: Path, theme: str, width: int) -> None:
    page = visitor.page(theme=theme, width=width)
    found = {}
    for name, (address, sign) in PAGES.items():
        visitor.go(page, address)
        expect(page.locator("body")).to_contain_text(re.compile(sign))
        page.wait_for_load_state("networkidle")
        expect(page.locator(".loading")).to_have_count(0)
        expect(page.locator(".notice.bad:not([role=status])")).to_have_count(0)
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
        too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, f"{name} is {too_wide} pixels too wide"
        results = Axe().run(page).response["violations"]
        found |= {
            f"{name}: {problem['id']}": [
                node["html"][:160] + " " + str(node.get("failureSummary"))[:300] for node in problem["nodes"][:3]
            ]
            for problem in results
        }
        page.screenshot(path=pictures / f"{name}-{theme}{'' if width > 600 else '-phone'}.png", full_page=True)
    assert found == {}


def test_a_page_that_lacks_a_script_is_loaded_again_and_at_last_says_so(visitor: Visitor) -> None:
    page = visitor.page()
    lost = []

    def lose(route: Route) -> None:
        if len(lost) < 5:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/components/charts.js", lose)
    visitor.go(page, "/endpoints/flights")
    page.get_by_role("button", name="Load it again").click()
    expect(page.locator("body")).to_contain_text("nightly-1")
    assert len(lost) == 5
    assert page.evaluate("history.state") == {}
    assert [entry for entry in visitor.complaints if "components/charts.js" not in entry] == []
    visitor.complaints.clear()


def test_names_and_errors_are_text(visitor: Visitor) -> None:
    page = visitor.page()
    visitor.go(page, "/")
    expect(page.get_by_text(EVIL)).to_be_visible()
    visitor.go(page, "/endpoints/hostile/jobs/evil-1?tab=failures")
    expect(page.locator(".files").get_by_text(EVIL_FILE)).to_be_visible()
    expect(page.locator("summary")).to_contain_text("onerror=window.hacked=1")
    # The browser itself refuses to take a text for HTML, whoever tries.
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")
    visitor.complaints.clear()


def test_a_job_from_the_form_to_its_cancellation(visitor: Visitor, pictures: Path) -> None:
    page = visitor.page(role="op", theme="dark")
    visitor.go(page, "/endpoints/flights/invoke")
    page.get_by_label("Instances").fill("none")
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_text("A whole number from 1 to 1,000")).to_be_visible()
    expect(page.get_by_text("Needed", exact=True)).to_be_visible()
    page.get_by_label("Instances").fill("2")
    page.get_by_label("Input", exact=True).fill("file:///etc")
    expect(page.get_by_text("It would be refused")).to_be_visible()
    # What the server refuses fails to load, and the browser says so.
    visitor.complaints[:] = [entry for entry in visitor.complaints if "status of 400" not in entry]
    page.get_by_label("Input", exact=True).fill((visitor.airflow.data / "nights").as_uri())
    page.get_by_label("Deployment").select_option("slow")
    page.get_by_label("Job name").fill("by-hand-1")
    expect(page.get_by_text("Ready to start.")).to_be_visible()
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url("**/jobs/by-hand-1")
    expect(page.locator(".card .state", has_text="Running").first).to_be_visible(timeout=SECONDS * 2000)
    expect(page.locator(".progress")).to_contain_text(re.compile(r"[1-9]\d* of 10 items"), timeout=SECONDS * 2000)
    expect(page.get_by_role("img", name=re.compile(r"When each shard was worked on: [1-9]"))).to_be_visible()
    expect(page.get_by_text("Mini-batches")).to_be_visible()
    expect(page.get_by_role("region", name="Table of instances")).to_contain_text(re.compile(r"shards? \d"))
    page.screenshot(path=pictures / "running-dark.png", full_page=True)
    page.get_by_role("button", name="Cancel the job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(page.locator("h1 + .state")).to_have_text("Canceled")
    job = visitor.airflow.job("flights", "by-hand-1")
    assert (job["state"], job["invoker"], job["deployment"]) == ("Canceled", "op", "slow")


REGISTER = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
class Nothing(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return model_input
mlflow.pyfunc.log_model(name="model", python_model=Nothing(), pip_requirements=["mlflow"], registered_model_name=sys.argv[2])
"""


def test_what_stays_of_a_job_and_the_way_to_its_model(visitor: Visitor, pictures: Path) -> None:
    airflow = visitor.airflow
    register = [sys.executable, "-W", "ignore", "-c", REGISTER, airflow.mlflow_tracking_uri, "flight-delays"]
    done = subprocess.run(register, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    settings = {"mini_batch_size": 1, "environment_variables": {"PAUSE": "0.5"}, "max_concurrency_per_instance": 2}
    apply(
        airflow,
        {"name": "delays", "description": "With a model of MLflow's"},
        main={
            "model": {"path": "models:/flight-delays/1"},
            "resources": {"instance_count": 3},
            "settings": settings | {"error_threshold": -1},
        },
    )
    start(airflow, "delays", "with-a-model", "nights")
    airflow.wait("batch_endpoint.delays", "with-a-model", "success", seconds=400)
    assert not (airflow.outputs / "delays" / "with-a-model" / "_batch").exists()

    def look(theme: str, name: str = "published") -> Page:
        page = visitor.page(theme=theme)
        visitor.go(page, "/endpoints/delays/jobs/with-a-model")
        expect(page.locator("h1 + .state")).to_have_text("Completed")
        worked = page.get_by_role("img", name=re.compile("When each shard was worked on: 10 done, 0 under way, 0 lost"))
        expect(worked).to_be_visible()
        expect(worked.locator("rect")).to_have_count(10)
        expect(page.get_by_role("region", name="Table of instances").locator("tbody tr")).to_have_count(3)
        page.screenshot(path=pictures / f"{name}-{theme}.png", full_page=True)
        return page

    for theme in ("dark", "light"):
        page = look(theme)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="models:/flight").click()
    expect(opened.value.locator("body")).to_contain_text("flight-delays")
    expect(opened.value.locator("body")).to_contain_text("Version 1")
    # In Airflow's frame, which itself may open nothing.
    page.goto(f"{airflow.url}/plugin/batch-endpoints/batch-endpoints/ui/endpoints/delays/jobs/with-a-model")
    with page.expect_popup() as opened:
        page.frame_locator("iframe").get_by_role("link", name="models:/flight").click()
    expect(opened.value.locator("body")).to_contain_text("Version 1")
    # Airflow may forget the run; the job's directory does not.
    airflow.api("DELETE", "dags/batch_endpoint.delays/dagRuns/with-a-model")
    look("light", "forgotten")


def test_the_default_is_changed_after_a_question(visitor: Visitor) -> None:
    page = visitor.page()
    visitor.go(page, "/endpoints/flights?tab=deployments")
    for name in ("strict", "main"):
        page.get_by_role("region", name=f"Deployment {name}").get_by_role("button", name="Make default").click()
        page.get_by_role("button", name="Make it the default").click()
        expect(page.get_by_role("region", name=f"Deployment {name}").get_by_text("Default", exact=True)).to_be_visible()
    assert visitor.airflow.rest("GET", "/v1/endpoints/flights").json()["default"] == "main"


def test_a_document_is_rolled_back(visitor: Visitor, pictures: Path) -> None:
    airflow, page = visitor.airflow, visitor.page(role="op")
    address = "/v1/endpoints/flights"
    before = airflow.rest("GET", address).json()
    changed = airflow.rest(
        "PUT",
        address,
        json={"description": "Delays out of New York, with the weather", "tags": {"team": "weather"}},
    )
    assert changed.status_code == 200, changed.text
    visitor.go(page, "/endpoints/flights?tab=history")
    expect(page.locator(".diff .plus").first).to_contain_text("with the weather")
    page.screenshot(path=pictures / "history-light.png", full_page=True)
    page.get_by_role("button", name=f"Roll back to {before['revision']}").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator(".revisions li").first).to_contain_text("by op")
    expect(page.locator(".revisions li").first.get_by_text("Now", exact=True)).to_be_visible()
    after = airflow.rest("GET", address).json()
    assert (after["description"], after["revision"], after["updated_by"]) == (
        before["description"], before["revision"], "op",
    )  # fmt: skip
    page.get_by_label("Of which document").select_option("main")
    expect(page.get_by_role("region", name="History of main")).to_contain_text("created by admin")
    assert page.evaluate("window.hacked") is None


def test_what_one_may_not_do_is_not_offered(visitor: Visitor) -> None:
    page = visitor.page(role="viewer")
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status == 403 else None)
    visitor.go(page, "/endpoints/flights")
    expect(page.get_by_role("button", name="Invoke")).to_be_disabled()
    expect(page.get_by_text("You have no right to invoke this endpoint.")).to_be_visible()
    visitor.go(page, "/endpoints/flights/invoke")
    expect(page.get_by_text("You may not invoke this endpoint.")).to_be_visible()
    visitor.go(page, "/endpoints/flights?tab=deployments")
    expect(page.get_by_text("You may not see the documents.")).to_be_visible()
    visitor.go(page, "/endpoints/flights/jobs/nightly-1?tab=failures")
    expect(page.get_by_text("Traceback of the first")).to_be_visible()
    visitor.go(page, "/computes")
    expect(page.get_by_text("You may not see computes.")).to_be_visible()
    assert refused == [], "the pages asked for what they know to be refused"


def test_failed_items_are_replayed(visitor: Visitor) -> None:
    page = visitor.page(role="user")
    visitor.go(page, "/endpoints/flights/jobs/nightly-1?tab=failures")
    page.get_by_role("button", name="Replay").click()
    page.get_by_label("With this deployment").select_option("main")
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_text("Replay of")).to_be_visible()
    name = page.url.rpartition("/")[2]
    # Its only item fails again, and a job of which nothing succeeded fails.
    visitor.airflow.wait("batch_endpoint.flights", name, "failed", seconds=400)
    job = visitor.airflow.rest("GET", f"/v1/endpoints/flights/jobs/{name}").json()
    assert (job["replay_of"], job["counts"]["listed"]) == ("nightly-1", 1)
    expect(page.get_by_text("Why it failed")).to_be_visible()


def test_storage_out_of_reach_is_said_where_it_matters(visitor: Visitor) -> None:
    folder = visitor.airflow.outputs / "flights" / "nightly-1"
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    try:
        page = visitor.page()
        visitor.go(page, "/endpoints/flights/jobs/nightly-1?tab=output")
        expect(page.get_by_text("The output cannot be read")).to_be_visible()
        expect(page.locator(".progress")).to_contain_text("10 of 10 items")
    finally:
        hidden.rename(folder)
        visitor.complaints[:] = [entry for entry in visitor.complaints if "status of 4" not in entry]


def test_no_login_is_said(visitor: Visitor) -> None:
    page = visitor.browser.new_context().new_page()
    visitor.go(page, "/")
    expect(page.get_by_text("Your login has ended.")).to_be_visible(timeout=SECONDS * 1000)


def words(page: Page, name: str) -> str:
    page.get_by_label("In which words").select_option(name)
    return page.get_by_role("region", name=f"Text: {name}", exact=True).inner_text()


def test_the_same_in_other_words_does_the_same(visitor: Visitor) -> None:
    airflow, page = visitor.airflow, visitor.page()
    visitor.go(page, "/endpoints/flights/invoke")
    page.get_by_label("Input", exact=True).fill((airflow.data / "nights").as_uri())
    page.get_by_label("Deployment").select_option("strict")
    page.get_by_label("Mini-batch size").fill("3")
    page.get_by_label("Timeout per mini-batch").fill("45")
    environment = os.environ | {"AIRFLOW_TOKEN": airflow.token("user")}
    runners: dict[str, Callable[[str], list[str]]] = {
        "curl": lambda text: ["bash", "-c", text],
        "Python": lambda text: [sys.executable, "-c", text],
        "Command line": lambda text: ["bash", "-c", text.replace("--wait", "")],
    }
    asked = []
    for way, command in runners.items():
        name = f"words-{way.split()[0].lower()}"
        page.get_by_label("Job name").fill(name)
        done = subprocess.run(
            command(words(page, way)), env=environment | airflow.environment() | {"AIRFLOW_TOKEN": airflow.token("user")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        asked.append(airflow.rest("GET", f"/v1/endpoints/flights/jobs/{name}").json()["request"])
    assert asked[0] == asked[1]
    assert {key: str(value) for key, value in asked[0].items()} == {
        "input": (airflow.data / "nights").as_uri(), "deployment": "strict", "mini_batch_size": "3", "timeout": "45",
        "input_type": "uri_folder",
    }  # fmt: skip
    text = yaml.safe_load(words(page, "YAML"))
    assert text["properties"]["InputData"]["input"]["Uri"] == (airflow.data / "nights").as_uri()
    assert text["properties"]["retrySettings"] == {"timeout": "PT45S"}
    compile(words(page, "DAG task"), "dag", "exec")


def test_inside_of_airflow(visitor: Visitor) -> None:
    airflow, page = visitor.airflow, visitor.page(theme="dark")
    page.goto(airflow.url)
    page.get_by_role("link", name="Batch endpoints").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("link", name="flights", exact=True)).to_be_visible()
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    # The theme follows without a reload.
    page.evaluate("document.documentElement.classList.replace('dark', 'light')")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")
    frame.get_by_role("link", name="flights", exact=True).click()
    expect(frame.get_by_role("heading", name="flights")).to_be_visible()
    # Airflow keeps the place, so that it can be reloaded and sent to others.
    page.wait_for_url("**/plugin/batch-endpoints/batch-endpoints/ui/endpoints/flights")
    page.reload()
    frame.get_by_role("link", name="nightly-1", exact=True).click()
    frame.get_by_role("link", name="DAG run").click()
    page.wait_for_url("**/dags/batch_endpoint.flights/runs/nightly-1**")
    page.get_by_role("link", name="Batch job").click()
    expect(page.frame_locator("iframe").get_by_text("10 of 10 items")).to_be_visible()
