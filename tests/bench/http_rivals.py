"""Web applications that the API is compared with.

    python -m tests.bench.http_rivals PORT BODY_FILE

serves a FastAPI route that answers with the file's bytes, under uvicorn, and nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response


def constant_app(body: bytes) -> FastAPI:
    """A FastAPI route as everybody writes it, with an answer that is ready."""
    app = FastAPI()

    @app.get("/v1/forecasts/{symbol}")
    async def forecast(symbol: str) -> Response:
        return Response(body, media_type="application/json")

    return app


def naive_app() -> FastAPI:
    """One actor call a request, nothing shared, nothing checked."""
    import ray

    from cluster import names

    app = FastAPI()
    actors: dict[str, Any] = {}

    @app.get("/v1/forecasts/{symbol}")
    async def forecast(symbol: str) -> Response:
        if symbol not in actors:
            actors[symbol] = ray.get_actor(names.symbol_actor(symbol), namespace=names.NAMESPACE)
        answer = await actors[symbol].forecasts.remote()
        return Response(b"[%b]" % b",".join(answer["by_horizon"].values()), media_type="application/json")

    return app


def application(kind: str, body: bytes) -> Any:
    """One of the above as a Ray Serve application with the API's own options."""
    from ray import serve
    from ray.serve.schema import LoggingConfig

    class Rival:
        """Built in the replica, as the API is."""

        def __serve_build_asgi_app__(self) -> FastAPI:
            from tests.bench import http_rivals

            return http_rivals.naive_app() if kind == "naive" else http_rivals.constant_app(body)

    quiet = LoggingConfig(enable_access_log=False)
    deployment = serve.deployment(
        serve.ingress()(Rival),
        num_replicas=1,
        max_ongoing_requests=1000,
        logging_config=quiet,
        # No CPU slot: two rivals and the API would not fit beside each other on two cores.
        ray_actor_options={"num_cpus": 0},
    )
    return deployment.bind()


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        constant_app(Path(sys.argv[2]).read_bytes()),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
