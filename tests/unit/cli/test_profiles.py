from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_batch_endpoints.cli import backend, profiles
from airflow_batch_endpoints.cli.main import parser
from airflow_batch_endpoints.cli.remote import ServerBackend
from airflow_batch_endpoints.exceptions import UserError

CONTENT = """
[production]
server = "https://airflow.example"
token_file = "production.token"
[trial]
server = "https://trial.example/airflow/"
[odd]
server = "airflow.example"
token = "secret"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (backend.SERVER, backend.PROFILE, backend.TOKEN, backend.USERNAME, profiles.FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "batch-endpoints"
    folder.mkdir()
    (folder / "profiles.toml").write_text(CONTENT)
    (folder / "production.token").write_text("of-production\n")
    return folder


def chosen(*arguments: str) -> tuple[str, str]:
    found: Any = backend.choose(parser().parse_args(["list", *arguments]))
    assert isinstance(found, ServerBackend)
    return found._server, found._client.headers["Authorization"].removeprefix("Bearer ")


def test_a_profile_is_a_server_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    # A token of the environment may be for another server.
    monkeypatch.setenv(backend.TOKEN, "of-somewhere")
    assert chosen("--profile", "production") == ("https://airflow.example", "of-production")
    assert chosen("--profile", "trial") == ("https://trial.example/airflow", "of-somewhere")
    monkeypatch.setenv(backend.PROFILE, "production")
    assert chosen() == ("https://airflow.example", "of-production")


def test_the_command_line_goes_first(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv(backend.TOKEN, "of-somewhere")
    monkeypatch.setenv(backend.SERVER, "https://variable.example")
    monkeypatch.setenv(backend.PROFILE, "trial")
    assert chosen()[0] == "https://variable.example"
    assert chosen("--profile", "production") == ("https://airflow.example", "of-production")
    (folder / "other").write_text("other")
    assert chosen("--profile", "production", "--token-file", str(folder / "other"))[1] == "other"
    assert chosen("--server", "https://named.example") == ("https://named.example", "of-somewhere")
    with pytest.raises(UserError, match="give one"):
        chosen("--server", "https://named.example", "--profile", "production")


def test_what_is_wrong_with_a_profile_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="it has odd, production, trial"):
        chosen("--profile", "ghost")
    with pytest.raises(UserError, match=r"server: .*; token: ") as error:
        chosen("--profile", "odd")
    assert "secret" not in str(error.value)
    (folder / "production.token").unlink()
    with pytest.raises(UserError, match=r"token file .* cannot be read"):
        chosen("--profile", "production")
    (folder / "profiles.toml").write_text("[broken")
    with pytest.raises(UserError, match="cannot be read"):
        chosen("--profile", "production")
    monkeypatch.setenv(profiles.FILE, str(folder / "elsewhere.toml"))
    with pytest.raises(UserError, match=r"elsewhere\.toml"):
        chosen("--profile", "production")
