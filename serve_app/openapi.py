"""The OpenAPI document, completed with what FastAPI can't know."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serve_app.schemas import ProblemAnswer


def complete_openapi(app: FastAPI) -> dict[str, Any]:
    """The app's OpenAPI document, built once when all routes are there.

    FastAPI documents errors as its own JSON; ours are problem details. Their schema is added under
    the name that the routes refer to it by, and FastAPI's own are taken out.
    """
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemAnswer"] = ProblemAnswer.model_json_schema()
    return document
