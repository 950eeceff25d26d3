# The daemon as a container: a builder that installs hash-locked wheels, a runtime that holds only the result.
#   docker build -t rotator . && docker run --read-only --cap-drop=all -v rotator:/var/lib/rotator \
#       -v $PWD/config.toml:/etc/rotator/config.toml:ro -v $PWD/credentials:/run/credentials:ro rotator
# BASE may be any Debian-like image with Python >= 3.11 and venv; both stages use the same one.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS builder
WORKDIR /src
COPY requirements-build.lock requirements-runtime.lock ./
RUN python3 -m venv /opt/build && python3 -m venv /opt/rotator \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
    && /opt/rotator/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements-runtime.lock
COPY . .
RUN PATH="/opt/build/bin:$PATH" /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/rotator/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
    && /opt/rotator/bin/pip uninstall --yes pip setuptools \
    && install -d -m 0711 -o 10001 -g 10001 /state && install -d -m 0755 -o 10001 -g 10001 /state/public

FROM ${BASE} AS runtime
COPY --from=builder /opt/rotator /opt/rotator
COPY --from=builder --chown=10001:10001 /state /var/lib/rotator
# Secrets are files mounted here: role_id, secret_id, never in the image nor in the environment.
ENV CREDENTIALS_DIRECTORY=/run/credentials \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ROTATOR_CONFIG=/etc/rotator/config.toml
USER 10001:10001
WORKDIR /var/lib/rotator
VOLUME ["/var/lib/rotator"]
# 8471: the JWKS; 8472: health and metrics. To be reached from outside they must bind 0.0.0.0 in config.toml.
EXPOSE 8471 8472
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s \
    CMD ["/opt/rotator/bin/python", "-ISc", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8472/healthz', timeout=4)"]
ENTRYPOINT ["/opt/rotator/bin/rotator"]
CMD ["run"]
