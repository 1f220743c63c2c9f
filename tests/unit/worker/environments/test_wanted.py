from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import pytest

from airflow_batch_endpoints.exceptions import InfrastructureError, ModelError
from airflow_batch_endpoints.worker.environments import uv
from airflow_batch_endpoints.worker.environments.wanted import Wanted, from_conda, from_requirements


def names(wanted: Wanted) -> list[str]:
    return [str(requirement) for requirement in wanted.requirements]


def test_requirements_are_read_line_by_line() -> None:
    wanted = from_requirements(
        "\ufeff# a comment\n\nnumpy<1.24  # old\nscikit-learn==1.1.3 \\\n    --hash=sha256:abc\n"
        "tiny @ https://example.org/tiny-1-py3-none-any.whl\n--extra-index-url https://me:pw@example.org/simple\n"
        "git+https://me:pw@example.org/x.git\n./here\nother @ file:///etc/other.whl\nsecret @ https://me:pw@example.org/s.whl\n",
        "requirements.txt",
    )
    assert names(wanted) == [
        "numpy<1.24", "scikit-learn==1.1.3", "tiny @ https://example.org/tiny-1-py3-none-any.whl",
    ]  # fmt: skip
    assert wanted.options == ["--extra-index-url https://example.org/simple"]
    assert wanted.foreign == [
        "git+https://example.org/x.git", "./here", "other @ file:///etc/other.whl", "secret @ https://example.org/s.whl",
    ]  # fmt: skip
    with pytest.raises(ModelError, match=r"git\+https.*no package of a Python package index"):
        wanted.require_installable()
    wanted.foreign.clear()
    with pytest.raises(ModelError, match=r"options are not taken from there.*UV_\*"):
        wanted.require_installable()


@pytest.mark.parametrize(
    ("package", "specifier"),
    [
        ("python", None),
        ("python=3.8.5", "==3.8.*"),
        ("conda-forge::python=3.11", "==3.11.*"),
        ("python=3.11.7=h0371630_0", "==3.11.*"),
        ("python==3.12.1", "==3.12.*"),
        ("python 3.12.*", "==3.12.*"),
        ("python>=3.9,<3.13", "<3.13,>=3.9"),
    ],
)
def test_the_python_of_a_conda_file(package: str, specifier: str | None) -> None:
    python = from_conda({"dependencies": [package, "pip<23"]}, "conda.yaml").python
    assert (None if python is None else str(python)) == specifier


def test_a_conda_file_is_read_as_yaml_or_as_a_mapping() -> None:
    content: dict[str, Any] = {"dependencies": ["pip", {"pip": ["numpy<1.24"]}, "xgboost=1.4"]}
    text = b"name: x\nchannels: [conda-forge]\ndependencies:\n- pip\n- pip:\n  - numpy<1.24\n- xgboost=1.4\n"
    for form in (content, text):
        wanted = from_conda(form, "conda.yaml")
        assert (names(wanted), wanted.foreign) == (["numpy<1.24"], ["xgboost=1.4"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"- a\n- b\n", "expected a conda file"),
        (b"a: *b\n", "aliases"),
        (b"dependencies: numpy\n", "expected a list"),
        (b"dependencies: [{pip: numpy}]\n", "with a list of them"),
        (b"dependencies: [python=new]\n", "expected a version"),
    ],
)
def test_what_is_no_conda_file_is_told_in_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        from_conda(content, "conda.yaml")


def test_what_is_met_here_and_what_is_not() -> None:
    numpy = version("numpy")
    met = from_requirements(f"numpy=={numpy}\nnumpy>1\nmlflow-skinny\nghost; python_version<'3'\n", "r")
    assert met.unmet() == []
    unmet = from_requirements("numpy==0.1\nghost>1\n", "r").unmet()
    assert unmet == [f"numpy==0.1 ({numpy} is installed)", "ghost>1 (not installed)"]
    (python,) = from_conda({"dependencies": ["python=2.7"]}, "c").unmet()
    assert python == f"Python ==2.7.* (this is {platform.python_version()})"


# -- uv -----------------------------------------------------------------------------------------------------------


def test_settings_for_pip_count_where_there_is_none_for_uv() -> None:
    own = {
        "PIP_INDEX_URL": "https://a/simple", "UV_DEFAULT_INDEX": "https://b/simple", "PIP_FIND_LINKS": "/x /y",
        "PIP_EXTRA_INDEX_URL": "https://c https://d", "AIRFLOW__CORE__FERNET_KEY": "k", "PYTHONPATH": "/p", "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "s",
    }  # fmt: skip
    given = uv.variables(own)
    assert given["UV_DEFAULT_INDEX"] == "https://b/simple"
    assert (given["UV_FIND_LINKS"], given["UV_INDEX"], given["PATH"]) == ("/x,/y", "https://c https://d", "/bin")
    assert given["UV_PYTHON_DOWNLOADS"] == "never"
    assert not given.keys() & {"AIRFLOW__CORE__FERNET_KEY", "PYTHONPATH", "AWS_SECRET_ACCESS_KEY"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("error: No solution found\n  cause: Because lz4==4.0.0 has no usable wheels", ModelError),
        ("error: Failed to fetch: https://u:p@h/x\n cause: HTTP status client error (404 Not Found)", ModelError),
        ("error: Failed to fetch: https://u:p@h/x\n cause: HTTP status client error (429 Too Many Requests)", InfrastructureError),
        ("error: Failed to fetch: https://u:p@h/x\n cause: HTTP status server error (503)", InfrastructureError),
        ("error: Request failed after 3 retries\n cause: tcp connect error", InfrastructureError),
        ("error: failed to write\n cause: No space left on device (os error 28)", InfrastructureError),
        ("error: Distribution not compatible with this platform", ModelError),
        ("", ModelError),
    ],
)  # fmt: skip
def test_what_can_be_mended_and_what_is_tried_again(said: str, kind: type[Exception]) -> None:
    error = uv.failure("building", said)
    assert type(error) is kind
    assert "u:p" not in str(error)
    assert "\n" not in str(error)


def test_a_long_reason_is_cut() -> None:
    assert len(str(uv.failure("building", "No solution found " + "x" * 100_000))) < 1_000
