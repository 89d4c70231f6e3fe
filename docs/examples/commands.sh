# Every command line of the documentation, in sections that the pages include. The tests run each
# `ferricorn` command with --check-config in this folder.

# --8<-- [start:install]
pip install '.[standard]'
# --8<-- [end:install]

# --8<-- [start:run]
ferricorn hello:app --port 8000
# --8<-- [end:run]

# --8<-- [start:ask]
curl -i http://127.0.0.1:8000/
# --8<-- [end:ask]

# --8<-- [start:compile]
cythonize --inplace compiled.pyx
ferricorn compiled:app
# --8<-- [end:compile]

# --8<-- [start:shapes]
ferricorn shapes:instance
ferricorn shapes:Asgi2
ferricorn --factory shapes:create_app
ferricorn shapes:wsgi
# --8<-- [end:shapes]

# --8<-- [start:mounts]
ferricorn hello:app --mount /old=shapes:wsgi --mount /old/new=whoami:app
# --8<-- [end:mounts]

# --8<-- [start:settings]
ferricorn                      # as [tool.ferricorn] of ./pyproject.toml says
ferricorn --config ferricorn.toml
ferricorn --config ferricorn.toml --check-config
ferricorn --config ferricorn.toml --workers 1 --explain
# --8<-- [end:settings]

# --8<-- [start:addresses]
ferricorn hello:app \
    --bind 127.0.0.1:8000 --bind '[::1]:8000' --bind unix:app.sock
ferricorn hello:app --host '' --port 8000      # every address, IPv4 and IPv6
ferricorn hello:app --uds app.sock --uds-permissions 660
# --8<-- [end:addresses]

# --8<-- [start:workers]
ferricorn hello:app --workers 4
ferricorn hello:app --workers auto --preload
ferricorn hello:app --workers 4 \
    --limit-max-requests 100000 --limit-max-requests-jitter 10000
ferricorn hello:app --workers 4 \
    --worker-max-rss 512 --worker-lifetime 86400 --worker-lifetime-jitter 3600
# --8<-- [end:workers]

# --8<-- [start:reload]
ferricorn hello:app --reload
ferricorn hello:app --reload --reload-dir . --reload-include '*.html'
# --8<-- [end:reload]

# --8<-- [start:signals]
kill -HUP "$PARENT"            # replace every worker, one after the other
kill -USR2 "$PARENT"           # start a new parent on the same sockets
kill -TTIN "$PARENT"           # one worker more
kill -TTOU "$PARENT"           # one worker less
# --8<-- [end:signals]

# --8<-- [start:systemd]
systemctl daemon-reload
systemctl enable --now app.socket app.service
systemctl reload app.service
# --8<-- [end:systemd]

# --8<-- [start:docker]
docker build -t app .
docker run --rm -p 8000:8000 --cpus 2 app
# --8<-- [end:docker]

# --8<-- [start:nginx]
ferricorn whoami:app --uds /run/app.sock \
    --forwarded-allow-ips unix --timeout-keep-alive 75
# --8<-- [end:nginx]

# --8<-- [start:gunicorn]
gunicorn hello:app
gunicorn -k ferricorn.workers.FerricornWorker \
    --workers 2 --bind 127.0.0.1:8000 hello:app
gunicorn -k gunicorn_worker.Worker --bind 127.0.0.1:8000 hello:app
# --8<-- [end:gunicorn]

# --8<-- [start:proxies]
ferricorn whoami:app --forwarded-allow-ips 10.0.0.0/8,unix
ferricorn whoami:app --forwarded-allow-ips 10.0.0.0/8 \
    --forwarded-headers x-forwarded-for,x-forwarded-proto,x-forwarded-host
ferricorn whoami:app --forwarded-allow-ips 10.0.0.0/8 \
    --forwarded-headers forwarded
ferricorn whoami:app --no-proxy-headers
# --8<-- [end:proxies]

# --8<-- [start:proxy-protocol]
ferricorn whoami:app --proxy-protocol --proxy-allow-ips 10.0.0.0/8
# --8<-- [end:proxy-protocol]

# --8<-- [start:logging]
ferricorn hello:app --log-config logging.json
ferricorn hello:app --log-level warning --no-access-log
# --8<-- [end:logging]

# --8<-- [start:access-log]
ferricorn hello:app \
    --access-log-format '%(h)s "%(r)s" %(s)s %(b)s %(L)s %(request_id)s'
ferricorn hello:app --log-format json
# --8<-- [end:access-log]

# --8<-- [start:drain]
ferricorn drain:app --drain-delay 10 --timeout-graceful-shutdown 20
# --8<-- [end:drain]

# --8<-- [start:limits]
ferricorn hello:app --timeout-request-head 10 --timeout-request-body 10 \
    --timeout-write 10 --limit-concurrency 1000
# --8<-- [end:limits]

# --8<-- [start:from-uvicorn]
ferricorn hello:app --host 127.0.0.1 --port 8000 --workers 4 \
    --http httptools --loop uvloop --proxy-headers
# --8<-- [end:from-uvicorn]

# --8<-- [start:bench]
make bench
make bench ARGS="--rows hello,post --rounds 3 --seconds 3"
# --8<-- [end:bench]
