"""The control endpoints: `GET /tickcast/state` and `POST /tickcast/faults`. No venue has these."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from cluster.exchange.fault_desk import FaultDesk
from cluster.exchange.faults import FaultSpec
from features.errors import ConfigError


class Control:
    """Shows what the exchange has done, and takes orders for faults."""

    def __init__(
        self, state: Callable[[], dict[str, Any]], desk: FaultDesk, clock_ns: Callable[[], int]
    ) -> None:
        self._state = state
        self._desk = desk
        self._clock_ns = clock_ns

    def add_routes(self, app: web.Application) -> None:
        """Register the endpoints."""
        app.router.add_get("/tickcast/state", self._show)
        app.router.add_post("/tickcast/faults", self._order)

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._state())

    async def _order(self, request: web.Request) -> web.Response:
        """202 with the fault as understood, or 400 with what is wrong with it."""
        try:
            fields = json.loads(await request.text())
            if not isinstance(fields, dict):
                raise ConfigError("a fault is a JSON object", fix='send {"kind": "drop"}')
            spec = FaultSpec.parse(fields)
            self._desk.inject(spec, self._clock_ns())
        except ValueError:
            return web.json_response({"error": "the body is no JSON"}, status=400)
        except ConfigError as error:
            return web.json_response({"error": str(error)}, status=400)
        ordered = {**dataclasses.asdict(spec), "kind": spec.kind.value}
        return web.json_response({"ordered": ordered}, status=202)
