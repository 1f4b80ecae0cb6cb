"""Settings of the Serve application. Ray is not started."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from serve_app.app import Api, ServeSettings, build


@pytest.mark.parametrize(
    "settings",
    [
        {"max_ongoing_request": 5},
        {"num_replicas": 2},
        {"replicas": 0},
        {"request_timeout_s": 0},
        {"log_level": "LOUD"},
    ],
)
def test_misspelt_or_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ServeSettings.model_validate(settings)


def test_settings_can_not_be_changed_later() -> None:
    with pytest.raises(ValidationError):
        ServeSettings().replicas = 2  # type: ignore[misc]


def test_settings_reach_the_deployment() -> None:
    settings = ServeSettings(replicas=2, max_ongoing_requests=7, max_queued_requests=3, access_log=False)
    deployment = build(settings)._bound_deployment
    assert (deployment.num_replicas, deployment.max_ongoing_requests) == (2, 7)
    assert deployment.max_queued_requests == 3
    assert deployment.logging_config["enable_access_log"] is False
    assert deployment.init_args == (settings,)


async def test_a_replica_builds_the_app_from_its_settings() -> None:
    replica = SimpleNamespace(_settings=ServeSettings())
    assert isinstance(Api.__serve_build_asgi_app__(replica), FastAPI)
