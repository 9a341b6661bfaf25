# The service with the shipped models: no torch, no compiler, no pip; runs as uid 10001 on a
# read-only root.
#
#   docker build -f docker/service.Dockerfile -t g2d-radiograph .
#   docker build -f docker/service.Dockerfile --build-arg RUNTIME=gpu -t g2d-radiograph:gpu .
#   docker build -f docker/service.Dockerfile --build-arg RUNTIME=triton -t g2d-radiograph:triton .
#   docker build -f docker/service.Dockerfile --build-arg RUNTIME=gateway -t g2d-radiograph:gateway .
#   ... --build-arg EXTRAS="otel postgres"       adds traces, and jobs in a PostgreSQL
#   ... --build-arg EXTRAS="dicom-results"       adds DICOM objects of results
#   ... --build-arg EXTRAS="gateway store"       adds jobs that refer to a PACS, and models in a store
#
# Jobs are stored in /srv/g2d/jobs: mount a volume there, or they are lost with the container. The
# container listens to other hosts, so it starts only with API keys (G2D_KEYS_FILE, for instance in
# /srv/g2d/keys), another authentication, or G2D_ALLOW_ANONYMOUS=true: see docs/access.md.
#
# A build behind a mirror or a private certificate authority passes its pip settings as secrets,
# which no layer keeps: --secret id=pip.conf,src=... --secret id=ca.crt,src=... (the build finds the
# certificates at /run/secrets/ca.crt).

ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*


FROM python AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1

# The builder creates the wheel; its requirements stay in this stage.
COPY constraints/build.txt /src/constraints/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    python3 -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --requirement /src/constraints/build.txt

# serve: ONNX Runtime on the CPU. gpu: on CUDA, whose libraries are wheels. triton: only a client.
# gateway: no runtime, but DICOM.
ARG RUNTIME=serve
COPY constraints/${RUNTIME}.txt /src/constraints/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    python3 -m venv --without-pip /opt/g2d \
    && /opt/build/bin/pip --python /opt/g2d/bin/python install \
        --require-hashes --only-binary :all: --requirement /src/constraints/${RUNTIME}.txt

# otel: traces. postgres: jobs in a database that replicas share. dicom-results: results as DICOM
# objects. All are optional; the pins of serve.txt take precedence over theirs.
ARG EXTRAS=
COPY constraints/otel.txt constraints/postgres.txt constraints/dicom-results.txt \
    constraints/gateway.txt constraints/store.txt /src/constraints/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    set -e; for extra in ${EXTRAS}; do \
        /opt/build/bin/pip --python /opt/g2d/bin/python install \
            --require-hashes --only-binary :all: --requirement "/src/constraints/${extra}.txt"; \
    done

COPY pyproject.toml README.md LICENSE NOTICE /src/
COPY radiograph /src/radiograph
COPY service /src/service
COPY training /src/training
COPY g2d /src/g2d
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels /src \
    && /opt/build/bin/pip --python /opt/g2d/bin/python install --no-deps --no-index /wheels/*.whl \
    && /opt/g2d/bin/python -m compileall -q /opt/g2d/lib


FROM python AS service
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin g2d \
    && install --directory --owner g2d --group g2d /srv/g2d /srv/g2d/triton \
    && install --directory --owner g2d --group g2d --mode 0700 /srv/g2d/jobs /srv/g2d/keys /srv/g2d/audit \
    && install --directory --owner g2d --group g2d --mode 0700 /srv/g2d/gateway /srv/g2d/forwarder
COPY --from=build /opt/g2d /opt/g2d
# The CUDA libraries of the GPU variant are in wheels, where the loader does not search.
RUN find /opt/g2d -path '*/nvidia/*/lib' -type d > /etc/ld.so.conf.d/cuda-wheels.conf && ldconfig
COPY docker/healthcheck.py docker/pacs/forward_changes.py /opt/g2d/
# The attributions that the weights require travel with them.
COPY LICENSE NOTICE /srv/g2d/
COPY models /srv/g2d/models

ENV PATH=/opt/g2d/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    G2D_MODELS_DIR=/srv/g2d/models \
    G2D_JOBS_DIR=/srv/g2d/jobs \
    G2D_HOST=0.0.0.0 \
    G2D_PORT=8000

WORKDIR /srv/g2d
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/opt/g2d/bin/python", "/opt/g2d/healthcheck.py"]
ENTRYPOINT ["/opt/g2d/bin/g2d"]
CMD ["serve"]
