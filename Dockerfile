# syntax=docker/dockerfile:1
# The daemon alone: no compiler, no package manager cache, no root. Build from the top of the tree:
#   docker build -t basis-daemon .
# For production pin the base by what it is and not by what it is called; this prints the digest to write behind the tag:
#   docker buildx imagetools inspect python:3.12.8-slim-bookworm --format '{{.Manifest.Digest}}'
#   docker build --build-arg PYTHON_IMAGE=python:3.12.8-slim-bookworm@sha256:<digest> -t basis-daemon .
ARG PYTHON_IMAGE=python:3.12.8-slim-bookworm

# ------------------------------------------------------------------------------------------------------------- build
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements-runtime.lock /src/
# Only what the lock names, byte for byte; wheels only, because a source package would run code of its own here.
RUN python -m venv --without-pip /opt/basis-daemon \
 && python -m pip --python /opt/basis-daemon/bin/python install --require-hashes --only-binary=:all: \
      -r /src/requirements-runtime.lock
COPY basis_daemon /src/basis_daemon
# The root will be read-only: compiled here or never.
RUN site="$(/opt/basis-daemon/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && cp -r /src/basis_daemon "$site/" \
 && /opt/basis-daemon/bin/python -m compileall -q "$site" \
 && printf '#!/opt/basis-daemon/bin/python\nfrom basis_daemon.cli import main\nmain()\n' > /opt/basis-daemon/bin/basis-daemon \
 && chmod 755 /opt/basis-daemon/bin/basis-daemon

# --------------------------------------------------------------------------------------------------------------- run
FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 basis && useradd --uid 10001 --gid basis --no-create-home --shell /usr/sbin/nologin basis \
 && install -d -o basis -g basis -m 700 /var/lib/basis-daemon
COPY --from=build /opt/basis-daemon /opt/basis-daemon
COPY config /etc/basis-daemon
ENV PATH=/opt/basis-daemon/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    BASIS_DAEMON_CONFIG=/etc/basis-daemon/live.yaml
USER 10001:10001
WORKDIR /var/lib/basis-daemon
VOLUME /var/lib/basis-daemon
STOPSIGNAL SIGTERM
# Reconciled and moving, or not; asked over the control socket. The first minutes are preflight and recovery.
HEALTHCHECK --interval=60s --timeout=15s --start-period=300s --retries=3 CMD ["basis-daemon", "status", "--healthy"]
ENTRYPOINT ["basis-daemon"]
# Watches, disarmed. Arming is said where it is deployed: `command: [run, --arm]`. Run it with an init (compose: init: true).
CMD ["run"]
