"""Configuration of the documentation."""

from __future__ import annotations

from pathlib import Path

from airflow_batch_endpoints import __version__
from airflow_batch_endpoints.config import OPTIONS, SECTION

project = "airflow-batch-endpoints"
author = "the airflow-batch-endpoints contributors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "configuration-ref.md.part"]
html_theme = "furo"
html_title = f"airflow-batch-endpoints {__version__}"
autodoc_typehints = "description"
autodoc_member_order = "bysource"


def write_configuration_reference() -> None:
    """Write the reference of options from the table that Airflow itself reads."""
    lines = [f"The section `[{SECTION}]`.", ""]
    for name, option in OPTIONS.items():
        lines += [f"## {name}", "", option["description"], ""]
        lines += [
            f"- type: {option['type']}",
            f"- default: `{option['default'] or '(empty)'}`",
            f"- example: `{option['example']}`",
        ]
        lines += [f"- environment: `AIRFLOW__{SECTION.upper()}__{name.upper()}`", ""]
    folder = Path(__file__).parent / "_build"
    folder.mkdir(exist_ok=True)
    (folder / "configuration.md").write_text("\n".join(lines))


write_configuration_reference()
