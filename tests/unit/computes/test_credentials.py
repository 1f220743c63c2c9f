from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_batch_endpoints.computes.credentials import variables
from airflow_batch_endpoints.exceptions import UserError


def connection(conn_type: str, extra: dict[str, Any] | None = None, **fields: Any) -> Connection:
    return Connection(conn_id="c", conn_type=conn_type, extra=json.dumps(extra) if extra else None, **fields)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            connection("aws", {"region_name": "eu-west-1", "endpoint_url": "http://minio"}, login="id", password="key"),
            {
                "AWS_ACCESS_KEY_ID": "id",
                "AWS_SECRET_ACCESS_KEY": "key",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_ENDPOINT_URL": "http://minio",
            },
        ),
        (connection("google_cloud_platform", {"key_path": "/k.json"}), {"GOOGLE_APPLICATION_CREDENTIALS": "/k.json"}),
        (
            connection("google_cloud_platform", {"keyfile_dict": '{"type": "service_account"}'}),
            {name: '{"token": {"type": "service_account"}}' for name in ("FSSPEC_GS", "FSSPEC_GCS")},
        ),
        (
            connection("wasb", login="lake", password="key"),
            {"AZURE_STORAGE_ACCOUNT_NAME": "lake", "AZURE_STORAGE_ACCOUNT_KEY": "key"},
        ),
        (
            connection(
                "wasb", {"tenant_id": "t"}, host="https://lake.blob.core.windows.net", login="app", password="s"
            ),
            {
                "AZURE_STORAGE_ACCOUNT_NAME": "lake",
                "AZURE_STORAGE_TENANT_ID": "t",
                "AZURE_STORAGE_CLIENT_ID": "app",
                "AZURE_STORAGE_CLIENT_SECRET": "s",
            },
        ),
    ],
)
def test_connections_become_variables(given: Connection, expected: dict[str, str]) -> None:
    assert variables({"c": given}) == expected


def test_fsspec_reads_a_key_of_google(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.config

    told = variables({"c": connection("google_cloud_platform", {"keyfile_dict": {"client_email": "x"}})})
    conf: dict[str, Any] = {}
    fsspec.config.set_conf_env(conf, told)
    assert conf["gs"] == conf["gcs"] == {"token": {"client_email": "x"}}


def test_two_stores_with_other_credentials_do_not_go_together() -> None:
    one = connection("aws", login="one", password="s3cret-one")
    two = connection("aws", login="two", password="s3cret-two")
    assert variables({"a": one, "b": one}) == variables({"a": one})
    with pytest.raises(UserError, match="connections 'a' and 'b' both set AWS_ACCESS_KEY_ID") as raised:
        variables({"a": one, "b": two})
    assert "s3cret" not in str(raised.value)
    assert "one" not in str(raised.value).replace("one set", "").replace("use one", "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (connection("http", password="s3cret"), "of type 'http'"),
        (connection("aws", {"role_arn": "arn:x"}), "assumes a role"),
        (connection("google_cloud_platform", {"keyfile_dict": "s3cret {"}), "is no JSON"),
    ],
)
def test_what_gives_no_access_is_said(given: Connection, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        variables({"c": given})
    assert "s3cret" not in str(raised.value)
