from __future__ import annotations

import pytest
from airflow.configuration import conf
from itsdangerous import URLSafeTimedSerializer

from airflow_batch_endpoints.azure import links
from airflow_batch_endpoints.azure.links import Log, sign, verify
from airflow_batch_endpoints.exceptions import NotFoundError

LOG = Log("heart", "nightly", "score", 0)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", "secret")


def test_a_link_is_for_one_log() -> None:
    assert verify(sign(LOG)) == LOG
    assert verify(sign(Log("heart", "nightly", "plan"))) == Log("heart", "nightly", "plan", None)


def test_a_link_is_good_for_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    link = sign(LOG)
    monkeypatch.setattr(links, "SECONDS", -1)
    with pytest.raises(NotFoundError, match="no longer"):
        verify(link)


@pytest.mark.parametrize("position", [0, 5, -3])
def test_another_link_is_none(position: int) -> None:
    link = sign(LOG)
    changed = "A" if link[position] != "A" else "B"
    parts = list(link)
    parts[position] = changed
    with pytest.raises(NotFoundError):
        verify("".join(parts))


def test_what_airflow_signs_for_other_ends_is_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    other = URLSafeTimedSerializer(conf.get_mandatory_value("api", "secret_key")).dumps(LOG)
    with pytest.raises(NotFoundError):
        verify(other)
    link = sign(LOG)
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", "another")
    with pytest.raises(NotFoundError):
        verify(link)
    for nonsense in ("", "x", ".", "a.b.c"):
        with pytest.raises(NotFoundError):
            verify(nonsense)
