from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from airflow_batch_endpoints.ui import pages

ASSETS = Path(pages.__file__).parent / "assets"
OURS = sorted(path for path in ASSETS.rglob("*.js") if "vendor" not in path.parts)
SINKS = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "dangerouslySetInnerHTML",
    "document.write",
    "eval(",
    "new Function",
)


def get(path: str, *, root: str = "") -> httpx.Response:
    """Ask the pages as they are mounted, below an address that a proxy may have put before them."""
    app = FastAPI(root_path=root)
    app.mount("/batch-endpoints/ui", pages.create_pages())

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://airflow") as client:
            return await client.get(f"/batch-endpoints/ui{path}")

    return asyncio.run(ask())


def assets_of(shell: httpx.Response) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+/assets/[^"]+)"', shell.text)


@pytest.mark.parametrize("path", ["/", "/endpoints/flights", "/endpoints/flights/jobs/2024:+~x", "/no/such/page"])
def test_every_address_is_the_shell(path: str) -> None:
    answer = get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text == get("/").text


def test_a_page_may_run_only_its_own_scripts_and_take_no_text_for_html() -> None:
    answer = get("/")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"
    assert policy["frame-ancestors"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    inline = re.findall(r'<script(?: type="importmap")?>(.*?)</script>', answer.text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    assert len(digests) == 2
    assert policy["script-src"] == " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])


def test_what_the_shell_names_is_there_and_kept_for_ever() -> None:
    found = assets_of(get("/"))
    assert len(found) >= 5
    for address in found:
        answer = get(address.removeprefix("/batch-endpoints/ui"))
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["..%2f..%2fpages.py", "%2e%2e/pages.py", "vendor/README.md", "nothing.js", ""])
def test_nothing_else_is_served(name: str) -> None:
    folder = next(address for address in assets_of(get("/")) if address.endswith("app.js")).removesuffix("app.js")
    assert get(folder.removeprefix("/batch-endpoints/ui") + name).status_code == 404


def test_another_version_is_not_there() -> None:
    assert get("/assets/0123456789abcdef/app.js").status_code == 404


def test_addresses_begin_where_a_proxy_has_put_them() -> None:
    answer = get("/", root="/team/airflow")
    assert 'data-root="/team/airflow/batch-endpoints"' in answer.text
    assert all(address.startswith("/team/airflow/batch-endpoints/ui/assets/") for address in assets_of(answer))


def test_an_address_before_it_cannot_break_out_of_the_shell() -> None:
    answer = get("/", root='/"><script>x</script>')
    assert "<script>x" not in answer.text


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ASSETS)))
def test_modules_import_what_is_there(path: Path) -> None:
    for name in re.findall(r'from "([^"]+)"', path.read_text()):
        assert name in pages._LIBRARIES or (path.parent / name).resolve().is_file(), name


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ASSETS)))
def test_no_module_makes_html_or_code_of_text(path: Path) -> None:
    assert [sink for sink in SINKS if sink in path.read_text()] == []


def test_libraries_are_as_released() -> None:
    vendor = ASSETS / "vendor"
    told = dict(
        re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", (vendor / "README.md").read_text(), re.MULTILINE)
    )
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.glob("*.[jc]s*")}
    assert told == there
    assert {path.name for path in vendor.glob("LICENSE.*")} == {"LICENSE.preact", "LICENSE.htm", "LICENSE.uplot"}
