"""Trainings as tasks: how many at a time, and what becomes of failures; on a Ray of plain functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.storage.store_spec import StoreSpec
from features.engine import EngineSpec
from features.errors import ConfigError
from jobs.history.spec import HistorySpec
from jobs.training import on_ray
from jobs.training.job import Made, TrainJob
from jobs.training.spec import TrainSpec

UNITS = [(("v", name),) for name in "ABCDE"]


class RayError(Exception):
    """A worker or node was lost too often."""


class RayTaskError(RayError):
    """A task raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class FakeRay:
    """Runs a task when it is waited for, the newest first; remembers what was asked for."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    ObjectRef = object

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.waiting: list[Callable[[], Any]] = []
        self.most = 0
        self.gpus = 0.0

    def remote(self, **options: Any) -> Callable[..., Any]:
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda *words: self._start(function, words))

    def _start(self, function: Any, words: Any) -> Callable[[], Any]:
        self.waiting.append(lambda: function(*words))
        self.most = max(self.most, len(self.waiting))
        return self.waiting[-1]

    def put(self, value: Any) -> Any:
        return value

    def wait(self, refs: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return refs[-num_returns:], refs[:-num_returns]

    def get(self, ref: Callable[[], Any]) -> Any:
        self.waiting.remove(ref)
        try:
            return ref()
        except RayError:
            raise
        except Exception as error:
            raise RayTaskError(error) from error

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": self.gpus}


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)  # type: ignore[arg-type]
    monkeypatch.setattr(on_ray, "be_polite", lambda threads: None)
    return fake


def job(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> TrainJob:
    """A job whose trainings for B and C fail."""

    def run(self: TrainJob, pairs: Any, report: Any) -> Made:
        if pairs[0][1] == "B":
            raise ConfigError("that can't be")
        if pairs[0][1] == "C":
            raise RayError("the node is gone")
        return Made(pairs, b"", {})

    monkeypatch.setattr(TrainJob, "run", run)
    history, engine = HistorySpec("candles:1m"), EngineSpec("*")
    return TrainJob(StoreSpec(uri="nowhere"), history, False, engine, TrainSpec(**settings))


@pytest.mark.parametrize(("workers", "most"), [(2, 2), (None, 5)])
def test_every_unit_comes_back(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch, workers: Any, most: int
) -> None:
    """With its result or with what it raised, at most so many at a time."""
    found = dict(on_ray.run(job(monkeypatch), UNITS, workers))
    assert set(found) == set(UNITS) and ray.most == most
    assert isinstance(found[UNITS[1]], ConfigError) and isinstance(found[UNITS[2]], RayError)
    assert all(isinstance(found[unit], Made) for unit in (UNITS[0], *UNITS[3:]))
    assert ray.options == {"num_cpus": 1, "num_gpus": 0, "max_retries": 3}


def test_a_gpu_is_asked_for_where_one_is_used(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    """And threads are CPUs."""
    assert not on_ray.has_gpu()
    ray.gpus = 1.0
    assert on_ray.has_gpu()
    list(on_ray.run(job(monkeypatch, device="cuda", threads=2), UNITS, None))
    assert ray.options["num_gpus"] == 1 and ray.options["num_cpus"] == 2
