"""A worker with options that gunicorn has no setting for."""

from ferricorn.workers import FerricornWorker


class Worker(FerricornWorker):
    CONFIG_KWARGS = {
        **FerricornWorker.CONFIG_KWARGS,
        "timeout_request_head": 10,
        "headers": [("X-Frame-Options", "DENY")],
    }
