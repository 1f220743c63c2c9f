from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import RealAirflow

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

README = Path(__file__).parents[2] / "README.md"


def test_the_first_own_deployment_of_the_readme(airflow: RealAirflow) -> None:
    text = README.read_text()
    (block,) = re.findall(r"## Your first own deployment\n\n```bash\n(.*?)```", text, re.DOTALL)
    # Installed it is; and what jobs may read was said when this Airflow was started.
    lines = [line for line in block.splitlines() if not line.startswith(("pip install", "export AIRFLOW__"))]
    folder = airflow.data / "readme"
    folder.mkdir()
    done = subprocess.run(
        ["bash", "-e"],
        input="\n".join(lines),
        cwd=folder,
        env=airflow.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed" in done.stdout
    (predictions,) = (airflow.outputs / "squares").glob("*/predictions.csv")
    assert predictions.read_text().split() == ["prediction", *(str(number**2) for number in range(1, 10))]


def test_the_readmes_python_is_python() -> None:
    for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        done = subprocess.run([sys.executable, "-W", "error", "-c", block], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
