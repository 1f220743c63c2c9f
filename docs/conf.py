"""Configuration of the documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

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


def write_rest_reference() -> None:
    """Write the reference of the REST interface from its OpenAPI document."""
    import tempfile

    # Whatever imports Airflow makes a folder and a configuration.
    home = tempfile.mkdtemp(prefix="docs-")
    os.environ.setdefault("AIRFLOW_HOME", home)
    from airflow_batch_endpoints.api.app import PREFIX, create_app, describe

    document = describe(create_app())
    lines = ["# REST reference", "", f"Paths are below `{PREFIX}` of the Airflow server.", ""]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            lines += [f"## {method.upper()} {path}", "", operation["description"], ""]
            parameters = operation.get("parameters", [])
            if parameters:
                lines += ["| parameter | in | |", "|---|---|---|"]
                lines += [
                    f"| `{entry['name']}` | {entry['in']} | {entry.get('description', '')} |" for entry in parameters
                ]
                lines.append("")
            for kind, content in (operation.get("requestBody") or {}).get("content", {}).items():
                example = content.get("example")
                if example is not None and kind == "application/json":
                    lines += [f"Body, `{kind}`:", "", "```json", json.dumps(example, indent=2), "```", ""]
            answers = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
            for status, answer in answers.items():
                schemas = [content.get("schema", {}) for content in answer.get("content", {}).values()]
                names = ", ".join(f"`{_schema_name(schema)}`" for schema in schemas) or "nothing"
                lines.append(f"Answers {status} with {names}.")
            lines.append("")
    lines += ["## Schemas", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += [f"### {name}", "", schema.get("description", ""), "", "| field | type |", "|---|---|"]
        lines += [f"| `{field}` | {_schema_name(kind)} |" for field, kind in schema.get("properties", {}).items()]
        lines.append("")
    folder = Path(__file__).parent / "_build"
    (folder / "rest-reference.md").write_text("\n".join(lines))


def _schema_name(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_schema_name(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_schema_name(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")


write_configuration_reference()
write_rest_reference()
