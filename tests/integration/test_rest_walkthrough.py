from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import RealAirflow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

DOCUMENT = Path(__file__).parents[2] / "docs" / "rest.md"


def test_the_walk_through_of_the_documentation(airflow: RealAirflow) -> None:
    if missing := [program for program in ("curl", "jq") if shutil.which(program) is None]:
        pytest.skip(f"{' and '.join(missing)} must be installed")
    (section,) = re.findall(r"## A walk through\n(.*?)\n## ", DOCUMENT.read_text(), re.DOTALL)
    script = "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))
    folder = airflow.data / "walk"
    (folder / "numbers").mkdir(parents=True)
    for number in range(1, 8):
        (folder / "numbers" / f"{number}.csv").write_text(f"{number}\n")
    environment = {
        "PATH": airflow.environment()["PATH"],
        "AIRFLOW_URL": airflow.url,
        "AIRFLOW_USER": "op",
        "AIRFLOW_PASSWORD": "op",
        "INPUT_URI": (folder / "numbers").as_uri(),
    }
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail"],
        input=script,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-9:] == [
        "predictions.csv",
        "prediction",
        *(str(number**2) for number in range(1, 8)),
    ]
