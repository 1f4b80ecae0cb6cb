"""`ask_actor.py RUN_DIR`: answer questions to Ray actors, one JSON object a line, until stdin ends.

A process of its own, because Ray reads the cluster's token when it is imported.
"""

import json
import sys
from pathlib import Path

from cluster import launch, names, run_state


def main(run_dir: str) -> None:
    # Ray prints what happens to nodes and workers on standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    state = run_state.read(Path(run_dir))
    assert state is not None
    launch.connect(state)
    import ray

    for line in sys.stdin:
        question = json.loads(line)
        try:
            actor = ray.get_actor(question["name"], namespace=names.NAMESPACE)
            method = getattr(actor, question["method"])
            answer = {"answer": ray.get(method.remote(*question["arguments"]), timeout=60)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=repr), file=answers, flush=True)


main(*sys.argv[1:])
