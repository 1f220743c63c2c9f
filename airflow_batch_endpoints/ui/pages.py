"""Serves the pages: one HTML shell for every address, and the scripts and styles that fill it.

Nothing here depends on who asks: whatever a page shows, it reads from the REST interface, with the caller's own login. The shell
tells the browser to run nothing but these scripts, and never to take text for HTML.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import FastAPI, Request, Response

PREFIX = "/ui"
"""Where the pages are, below the REST interface."""
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_LIBRARIES = {
    "preact": "vendor/preact.module.js",
    "preact/hooks": "vendor/hooks.module.js",
    "htm": "vendor/htm.module.js",
    "uplot": "vendor/uPlot.esm.js",
}
"""Names under which scripts import what is in ``vendor``."""
_SHELL = """<!doctype html>
<html lang="en" data-root="{root}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Batch endpoints</title>
<script>{loading}</script>
<link rel="icon" href="{assets}/icon.svg" type="image/svg+xml">
<script src="{assets}/lib/theme.js"></script>
<link rel="stylesheet" href="{assets}/vendor/uPlot.min.css">
<link rel="stylesheet" href="{assets}/style.css">
<script type="importmap">{imports}</script>
<script type="module" src="{assets}/app.js"></script>
</head>
<body>
<div id="app"><noscript>These pages need JavaScript.</noscript></div>
</body>
</html>
"""


def create_pages() -> FastAPI:
    """Build the application that serves the pages."""
    assets = dict(_read(files("airflow_batch_endpoints.ui") / "assets"))
    # Files are named by what all of them contain, so that browsers may keep them for ever.
    digest = hashlib.sha256(b"".join(name.encode() + content for name, content in sorted(assets.items()))).hexdigest()[
        :16
    ]
    loading = assets.pop("lib/loading.js").decode()
    pages = FastAPI(title="Batch endpoints: pages", openapi_url=None, docs_url=None, redoc_url=None)

    @pages.get("/assets/{version}/{name:path}")
    def asset(version: str, name: str) -> Response:
        content = assets.get(name)
        if content is None or version != digest:
            return Response(status_code=404, headers={"Cache-Control": "no-store"})
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(content, media_type=_TYPES["." + name.rpartition(".")[2]], headers=headers)

    @pages.get("/icon.svg")
    @pages.get("/icon-dark.svg")
    def icon(request: Request) -> Response:
        """Answer with what Airflow's navigation shows; it knows no version."""
        return Response(assets[request.url.path.rpartition("/")[2]], media_type=_TYPES[".svg"])

    @pages.get("/{page:path}")
    def shell(request: Request, page: str) -> Response:
        root = request.scope.get("root_path", "").removesuffix(PREFIX)
        base = f"{root}{PREFIX}/assets/{digest}"
        imports = json.dumps({"imports": {name: f"{base}/{file}" for name, file in _LIBRARIES.items()}})
        # A script's content is not parsed for entities: what could end it is written as JSON may.
        imports = imports.replace("<", "\\u003c")
        content = _SHELL.format(root=html.escape(root), assets=html.escape(base), loading=loading, imports=imports)
        return Response(content, media_type="text/html", headers=_headers(loading, imports))

    return pages


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _read(entry, f"{name}/")
        elif "." + name.rpartition(".")[2] in _TYPES:
            found.append((name, entry.read_bytes()))
    return found


def _headers(*inline: str) -> dict[str, str]:
    """Return what a browser must keep to on a page.

    :param inline: the scripts within the page itself; allowed by their digests.
    """
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    policy = (
        "default-src 'none'",
        " ".join(["script-src 'self'", *(f"'sha256-{digest}'" for digest in digests)]),
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
