# Engines on NVIDIA GPUs: vLLM's own image, and beside it, in an environment of its own, the supervisor of one pack.
#
#   deploy/images/build.sh engines
#
# Neither environment sees the other's packages. vLLM is run by ENGINE_PYTHON, which is where its image has it.
ARG BASE
FROM ${BASE} AS builder
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/appliance-runtime.txt requirements/build.txt requirements/
RUN python3 -m venv --copies /opt/appliance/venv \
 && python3 -m venv /build \
 && /opt/appliance/venv/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/appliance-runtime.txt \
 && /build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY appliance appliance
RUN /build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/appliance/venv/bin/python -m pip install --no-deps --no-index /dist/appliance-*.whl \
 && /opt/appliance/venv/bin/python -m pip check \
 && /opt/appliance/venv/bin/python -m pip uninstall --yes pip \
 && /opt/appliance/venv/bin/python -m compileall -q /opt/appliance/venv/lib

FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG VLLM_VERSION
ARG ENGINE_PYTHON=/usr/bin/python3
LABEL org.opencontainers.image.title="appliance engines" \
      org.opencontainers.image.description="vLLM, and the supervisor of one pack of engines" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The base must hold the vLLM that this release was made for. Libraries look their user up by number, so it has a name.
RUN "${ENGINE_PYTHON}" -c "import sys; from importlib.metadata import version; sys.exit(version('vllm') != sys.argv[1])" \
      "${VLLM_VERSION}" \
 && groupadd --gid 10001 appliance \
 && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin appliance
COPY --from=builder /opt/appliance/venv /opt/appliance/venv
COPY LICENSE /opt/appliance/LICENSE
COPY models/catalog /opt/appliance/catalog
COPY models/starter/weights /opt/appliance/models
ENV PATH=/opt/appliance/venv/bin:$PATH \
    APPLIANCE_ENGINE_PYTHON=${ENGINE_PYTHON} \
    HOME=/tmp \
    DO_NOT_TRACK=1 \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/appliance
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["appliance"]
CMD ["--help"]
