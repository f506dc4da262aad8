# Engines without a GPU: vLLM's CPU build from the lock file of this repository, and the supervisor of one pack.
#
#   PIP_FIND_LINKS=<where torch's CPU wheel lies> deploy/images/build.sh engines-cpu
#
# For the starter pool and for trials. requirements/README.md says where torch comes from.
ARG BASE
FROM ${BASE} AS builder
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/appliance-runtime.txt requirements/build.txt requirements/engine-cpu.txt requirements/
RUN python3 -m venv /opt/appliance/venv \
 && python3 -m venv /opt/appliance/engine \
 && python3 -m venv /build \
 && /opt/appliance/venv/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/appliance-runtime.txt \
 && /opt/appliance/engine/bin/python -m pip install --require-hashes --no-deps -r requirements/engine-cpu.txt \
 && /build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY appliance appliance
RUN /build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/appliance/venv/bin/python -m pip install --no-deps --no-index /dist/appliance-*.whl \
 && /opt/appliance/venv/bin/python -m pip check \
 && /opt/appliance/venv/bin/python -m pip uninstall --yes pip \
 && /opt/appliance/engine/bin/python -m pip uninstall --yes pip \
 && /opt/appliance/venv/bin/python -m compileall -q /opt/appliance/venv/lib /opt/appliance/engine/lib

FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="appliance engines (CPU)" \
      org.opencontainers.image.description="vLLM's CPU build, and the supervisor of one pack of engines" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# vLLM's kernels bind memory with libnuma. Libraries look their user up by number, so it has a name.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libnuma1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 appliance \
 && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin appliance
COPY --from=builder /opt/appliance/venv /opt/appliance/venv
COPY --from=builder /opt/appliance/engine /opt/appliance/engine
COPY LICENSE /opt/appliance/LICENSE
COPY models/catalog /opt/appliance/catalog
COPY models/starter/weights /opt/appliance/models
ENV PATH=/opt/appliance/venv/bin:$PATH \
    APPLIANCE_ENGINE_PYTHON=/opt/appliance/engine/bin/python \
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
