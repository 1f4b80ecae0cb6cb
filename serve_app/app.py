"""The API as a Ray Serve application."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.schema import LoggingConfig

from serve_app.api import create_api
from serve_app.directory import RETRY_AFTER_S, RayDirectory
from serve_app.router import ForecastRouter


class ServeSettings(BaseModel):
    """How the API runs.

    Unknown names are refused here, since Ray Serve takes misspelt deployment options without a word.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicas: int = Field(1, ge=1, description="Processes that answer; each needs about one CPU when busy.")
    max_ongoing_requests: int = Field(
        1000, ge=1, description="Requests under way per replica. They wait for actors, so many fit."
    )
    max_queued_requests: int = Field(
        1000, ge=-1, description="Requests that may wait beyond that; more get 503. -1: no limit."
    )
    request_timeout_s: float = Field(
        5.0, gt=0, le=60, description="Seconds that an actor may take to answer before the request gets 503."
    )
    access_log: bool = Field(False, description="One log line per request; costs throughput.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


@serve.ingress()
class Api:
    """One replica: stateless, routes requests by symbol to the actors."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        # Ray Serve calls this once, in the replica, after __init__.
        return create_api(ForecastRouter(RayDirectory(self._settings.request_timeout_s)))


def build(settings: ServeSettings) -> serve.Application:
    """The application for `serve.run(build(settings), name=SERVE_APPLICATION, route_prefix="/")`."""
    deployment = serve.deployment(
        Api,
        num_replicas=settings.replicas,
        max_ongoing_requests=settings.max_ongoing_requests,
        max_queued_requests=settings.max_queued_requests,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=RETRY_AFTER_S),
        logging_config=LoggingConfig(enable_access_log=settings.access_log, log_level=settings.log_level),
    )
    return deployment.bind(settings)
