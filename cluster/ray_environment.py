"""The environment of every Ray process: the one place that owns the list.

Set before `ray start` on each node; Ray and Serve read most of it when they are imported. `status`
shows what is in force. Measured reasons stand beside each; see docs/architecture.md.
"""

from __future__ import annotations

from pathlib import Path


def environment(token_file: Path) -> dict[str, str]:
    """Variables for a node whose cluster token is in `token_file`."""
    return {
        # The control plane, dashboard and jobs API can run code: a token guards them.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Workers run at nice 15 by default and would lose to anything else on the machine.
        "RAY_worker_niceness": "0",
        # A dead node is found in about 3 s, not 13.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "3000",
        "RAY_health_check_failure_threshold": "3",
        # Actors outlive a restart of the head.
        "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
        "RAY_task_events_max_num_task_in_gcs": "20000",
        # An actor that was killed is started again, and `status` says so: no need to print it on every
        # client's standard output, where JSON is expected.
        "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed",
        # HAProxy in front of the replicas, and no thread hops inside them: some ten times the requests.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "600",
        "RAY_SERVE_REQUEST_LATENCY_BUCKETS_MS": "0.2,0.5,1,2,5,10,20,50,100,500,2000",
        # One thread per process: a symbol's arithmetic is small, and there are many symbols.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # Compiled kernels use no vector library: its results would depend on how a batch is cut.
        "NUMBA_DISABLE_INTEL_SVML": "1",
    }


SERVE_SWITCHES = ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED")
"""What `status` shows of it."""
