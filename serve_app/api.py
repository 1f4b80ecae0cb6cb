"""The whole HTTP API as an ASGI app. Needs no Ray: tests give it a router with a fake directory."""

from __future__ import annotations

import json

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app import problems
from serve_app.docs_page import docs_page
from serve_app.openapi import complete_openapi
from serve_app.router import ForecastRouter
from serve_app.routes import add_routes
from serve_app.web_files import WebFiles, as_web_file

_DESCRIPTION = """\
Forecasts of market prices, learned and scored as the market moves.

Times are nanoseconds since 1970 UTC. Prices are in the symbol's quote currency. Returns are log returns.
Every forecast is scored against the naive one, no change. A forecast is no promise of profit.

Errors are problem details after RFC 9457. Answers with status 503 say in `Retry-After` when to ask again.
"""


def create_api(router: ForecastRouter) -> FastAPI:
    """The app that answers every route from `router`."""
    app = FastAPI(
        title="Tickcast",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,  # FastAPI's page loads scripts from elsewhere; ours is `docs_page`
        redoc_url=None,
        openapi_url=None,  # served with the pages, complete and with their headers
        redirect_slashes=False,
    )
    problems.install(app)
    add_routes(app, router)
    _add_pages(app)
    app.add_middleware(HeadAsGet)
    return app


class HeadAsGet:
    """Answers HEAD as GET; the server leaves the body out. Load balancers ask so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def _add_pages(app: FastAPI) -> None:
    files = WebFiles()
    kinds = {kind.name for kind in problems.KINDS}
    document = complete_openapi(app)
    document_file = as_web_file(json.dumps(document).encode(), ".json")
    docs_file = as_web_file(docs_page(document, problems.KINDS).encode(), ".html")

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return files.get("index.html").response(request)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return docs_file.response(request)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return document_file.response(request)

    @app.get("/static/{name}", include_in_schema=False)
    async def static(request: Request, name: str) -> Response:
        return files.get(name).response(request)

    @app.get("/problems/{name}", include_in_schema=False)
    async def problem(name: str) -> Response:
        if name not in kinds:
            raise HTTPException(404)
        return RedirectResponse(f"/docs#problem-{name}", status_code=302)
