# syntax=docker/dockerfile:1.7
# The platform's image for Kubernetes and Dagster+: code location, webserver, daemon and runs alike.
#
#   docker build --build-arg REPOSITORY=https://git.example.com/team/ray-platform.git -t NAME:TAG .
#
# It holds the checkout at the commit that is built, as a clone: a run records the commit that it ran at.
# docs/how-to/deploy-dagster.md says how to pin the base image; docs/explanation/limits.md what was not run.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.13-slim-bookworm


FROM ${PYTHON_IMAGE} AS source
ARG REPOSITORY=unknown
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/*
COPY .git /context/.git
# What is committed and nothing else: no file that merely lies about, no credentials of the clone.
RUN git -c safe.directory=/context/.git clone --quiet --no-hardlinks file:///context /opt/ray_platform \
 && git -C /opt/ray_platform remote set-url origin "${REPOSITORY}"


FROM ${PYTHON_IMAGE} AS terraform
ARG TERRAFORM_VERSION=1.11.4
# Of terraform_1.11.4_linux_amd64.zip; another version or architecture needs its own.
ARG TERRAFORM_SHA256=1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc
ARG TERRAFORM_ARCH=amd64
# HashiCorp's release key: https://www.hashicorp.com/trust/security
ARG HASHICORP_KEY=C874011F0AB405110D02105534365D9472D7468F
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl gnupg unzip \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /download
RUN set -eu; \
    name="terraform_${TERRAFORM_VERSION}"; \
    zip="${name}_linux_${TERRAFORM_ARCH}.zip"; \
    for file in "${zip}" "${name}_SHA256SUMS" "${name}_SHA256SUMS.sig"; do \
      curl --fail --silent --show-error --location --remote-name \
        "https://releases.hashicorp.com/terraform/${TERRAFORM_VERSION}/${file}"; \
    done; \
    curl --fail --silent --show-error --location --output key.txt \
      https://www.hashicorp.com/.well-known/pgp-key.txt; \
    gpg --quiet --import key.txt; \
    gpg --status-fd 1 --verify "${name}_SHA256SUMS.sig" "${name}_SHA256SUMS" \
      | grep --quiet "^\[GNUPG:\] VALIDSIG .* ${HASHICORP_KEY}$"; \
    grep "  ${zip}$" "${name}_SHA256SUMS" | sha256sum --check --strict; \
    echo "${TERRAFORM_SHA256}  ${zip}" | sha256sum --check --strict; \
    unzip -q "${zip}" terraform -d /usr/local/bin


# The provider that the lock file names, with the checksums that stand there, unpacked.
FROM terraform AS provider
COPY --from=source /opt/ray_platform/terraform /terraform
RUN TF_DATA_DIR=/data terraform -chdir=/terraform init -backend=false -lockfile=readonly -input=false


FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.9
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
RUN python -m pip install --quiet --no-cache-dir "uv==${UV_VERSION}"
WORKDIR /opt/ray_platform
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-cache --no-default-groups --no-install-project
COPY --from=source /opt/ray_platform /opt/ray_platform
RUN uv sync --frozen --no-cache --no-default-groups


FROM ${PYTHON_IMAGE} AS platform
LABEL org.opencontainers.image.title="ray-platform" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git \
 && rm -rf /var/lib/apt/lists/* \
 && python -m pip uninstall --yes --quiet setuptools wheel pip \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/ray_platform platform \
 && install --directory --owner=platform --group=platform --mode=0750 \
      /var/lib/ray_platform /opt/dagster/dagster_home \
 && git config --system safe.directory /opt/ray_platform
COPY --from=terraform /usr/local/bin/terraform /usr/local/bin/terraform
COPY --from=provider /data/providers /opt/terraform-providers
COPY --from=build /opt/venv /opt/venv
# Owned by root: what runs cannot change what it runs.
COPY --from=build /opt/ray_platform /opt/ray_platform
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/ray_platform \
    RAY_PLATFORM_ROOT=/opt/ray_platform \
    RAY_PLATFORM_HOME=/var/lib/ray_platform \
    RAY_PLATFORM_PROVIDER_DIR=/opt/terraform-providers \
    DAGSTER_HOME=/opt/dagster/dagster_home \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/ray_platform
USER 10001:10001
EXPOSE 4000
CMD ["dagster", "code-server", "start", "--host", "0.0.0.0", "--port", "4000", "--module-name", "ray_platform.definitions"]
