"""Trainings as Ray tasks: one model each, the rows read by the task itself.

No row goes through the object store: a task is sent the names of its symbols and gives back a model.
"""

from __future__ import annotations

from collections.abc import Iterator

from jobs.command_line import say
from jobs.politeness import be_polite
from jobs.training.job import Made, Pair, TrainJob


def has_gpu() -> bool:
    """Whether a node of the cluster has a GPU; Ray must be up."""
    import ray

    return bool(ray.cluster_resources().get("GPU", 0.0) >= 1.0)


def run(
    job: TrainJob, units: list[tuple[Pair, ...]], workers: int | None
) -> Iterator[tuple[tuple[Pair, ...], Made | Exception]]:
    """Each unit with what came of it, as they are finished, at most `workers` at a time; Ray must be up.

    A task whose process or node is lost is started again. What it raised is given instead of its result.
    """
    import ray

    task = ray.remote(
        num_cpus=job.train.threads, num_gpus=1 if job.train.device == "cuda" else 0, max_retries=3
    )(_task)
    shared, left = ray.put(job), list(reversed(units))
    running: dict[ray.ObjectRef, tuple[Pair, ...]] = {}
    while left or running:
        while left and len(running) < (workers or len(units)):
            unit = left.pop()
            running[task.remote(shared, unit)] = unit
        done, _ = ray.wait(list(running), num_returns=1)
        try:
            result = ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            result = error.cause if isinstance(error.cause, Exception) else error
        except ray.exceptions.RayError as error:
            result = error
        yield running.pop(done[0]), result


def _task(job: TrainJob, pairs: tuple[Pair, ...]) -> Made:
    be_polite(job.train.threads)
    return job.run(pairs, say)
