"""Settings of gunicorn that the worker obeys."""

bind = "127.0.0.1:8000"
worker_class = "ferricorn.workers.FerricornWorker"
workers = 2
timeout = 30
graceful_timeout = 30
keepalive = 5
max_requests = 100_000
max_requests_jitter = 10_000
accesslog = "-"
