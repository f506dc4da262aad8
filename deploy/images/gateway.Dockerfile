# The gateway, and all verbs that need no GPU: no compiler, no torch, no shell scripts, an unprivileged numeric user.
#
#   deploy/images/build.sh gateway
#
# Builds without a network where PIP_INDEX_URL or PIP_FIND_LINKS names a mirror: every wheel is checked by its hash.
ARG BASE
FROM ${BASE} AS builder
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements/appliance-runtime.txt requirements/build.txt requirements/
RUN python3 -m venv /opt/appliance/venv \
 && python3 -m venv /build \
 && /opt/appliance/venv/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/appliance-runtime.txt \
 && /build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY appliance appliance
# Compiled once here, because the root file system is read-only when it runs. pip is of no use there, and goes.
RUN /build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/appliance/venv/bin/python -m pip install --no-deps --no-index /dist/appliance-*.whl \
 && /opt/appliance/venv/bin/python -m pip check \
 && /opt/appliance/venv/bin/python -m pip uninstall --yes pip \
 && /opt/appliance/venv/bin/python -m compileall -q /opt/appliance/venv/lib

FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="appliance gateway" \
      org.opencontainers.image.description="Orchestration of open-weight models behind one OpenAI-compatible endpoint" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=builder /opt/appliance/venv /opt/appliance/venv
COPY LICENSE /opt/appliance/LICENSE
COPY models/catalog /opt/appliance/catalog
ENV PATH=/opt/appliance/venv/bin:$PATH \
    HOME=/tmp \
    DO_NOT_TRACK=1 \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNOUSERSITE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/appliance
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["appliance"]
CMD ["--help"]
