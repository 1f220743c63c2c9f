from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batch_endpoints.azure.ids import SEPARATOR, Asset, Workspace, job_id, read_asset
from airflow_batch_endpoints.documents.names import check_name

WORKSPACE = Workspace("0", "group", "workspace")
names = st.from_regex(r"[A-Za-z](-?[A-Za-z0-9]){0,10}", fullmatch=True)
jobs = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.~:+-]{0,20}", fullmatch=True)


@given(names, jobs, names, jobs)
def test_no_two_jobs_have_one_id(endpoint: str, job: str, other_endpoint: str, other_job: str) -> None:
    assert check_name(endpoint) == endpoint
    found, _, rest = job_id(endpoint, job).partition(SEPARATOR)
    assert (found, rest) == (endpoint, job)
    same = (endpoint, job) == (other_endpoint, other_job)
    assert (job_id(endpoint, job) == job_id(other_endpoint, other_job)) == same


@given(st.text(min_size=1), st.text(st.characters(exclude_characters="/\n", exclude_categories=["Cs"]), min_size=1))
def test_an_asset_is_what_its_id_says(name: str, version: str) -> None:
    name = name.encode(errors="replace").decode()
    asset = Asset(name, version)
    assert read_asset(WORKSPACE.asset("models", asset), "models") == asset


@pytest.mark.parametrize(
    "value",
    [
        None, 7, "", "heart:7", "azureml:heart:7", f"{WORKSPACE.id}/models", f"{WORKSPACE.id}/codes/heart/versions/7",
        f"{WORKSPACE.id}/models/heart/versions/7/more", f"https://host{WORKSPACE.id}/models/heart/versions/7",
    ],
)  # fmt: skip
def test_anything_else_is_no_model(value: object) -> None:
    with pytest.raises(ValueError, match="expected an id that ends in models/"):
        read_asset(value, "models")
