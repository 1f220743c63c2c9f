from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.jobs import handing


@given(st.text())
def test_what_is_packed_is_unpacked(text: str) -> None:
    assert handing.unpack(handing.pack(json.dumps(text))) == json.dumps(text)


def test_a_pipeline_of_many_steps_fits_into_a_variable() -> None:
    launch = {"compute": {"name": "pool", "labels": {f"label-{number}": "x" * 40 for number in range(20)}}}
    text = json.dumps({f"step_{number}": launch for number in range(1000)})
    value = handing.pack(text)
    told = subprocess.run(
        [sys.executable, "-c", f"import os; print(len(os.environ[{handing.VARIABLE!r}]))"],
        env={handing.VARIABLE: value}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(told.stdout) == len(value) <= handing.MAX_BYTES
    assert handing.unpack(value) == text
    with pytest.raises(ValueError, match="split it"):
        handing.pack(json.dumps(random.Random(1).randbytes(200_000).hex()))
