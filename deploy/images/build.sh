#!/usr/bin/env bash
# Build the images with docker, podman or buildah, whichever is here, and save each as one archive for the bundle.
#
#   deploy/images/build.sh [gateway] [engines] [engines-cpu]      all three by default
#
# BUILDER=docker|podman|buildah   which one; by default the first that works
# REGISTRY=localhost/appliance    what stands before the names of the images
# SAVE=dist/images                directory for the archives; empty: none are written
# UNPINNED=1                      take the bases by their tags, where bases.env has no digests yet
# PIP_INDEX_URL, PIP_FIND_LINKS   where wheels come from, passed on to the build
# BUILD_ARGS="--network=none …"   further options of the builder
set -euo pipefail
cd "$(dirname "$0")/../.."
here=deploy/images
# shellcheck source=deploy/images/bases.env
source "$here/bases.env"

fail() {
  echo "$1" >&2
  exit 2
}

builder() {
  local wanted
  for wanted in ${BUILDER:-docker podman buildah}; do
    case $wanted in
      docker) docker info >/dev/null 2>&1 && { echo docker; return; } ;;
      podman | buildah) "$wanted" info >/dev/null 2>&1 && { echo "$wanted"; return; } ;;
      *) fail "BUILDER=$wanted: one of docker, podman and buildah is wanted" ;;
    esac
  done
  fail "no builder works here (tried ${BUILDER:-docker podman buildah}); install podman, or start docker's daemon"
}

base() { # name of the variables → image by digest
  local image="${1}_IMAGE" digest="${1}_DIGEST"
  if [[ ${!digest} =~ ^sha256:[0-9a-f]{64}$ ]]; then
    echo "${!image}@${!digest}"
  elif [[ -n ${!digest} ]]; then
    fail "$here/bases.env: $digest: ${!digest} is no digest (sha256: and 64 hexadecimal digits)"
  elif [[ ${UNPINNED:-} == 1 ]]; then
    echo "${!image}"
  else
    fail "$here/bases.env: $digest is empty; write the digest of ${!image} there (it says how), or set UNPINNED=1 to try"
  fi
}

save() { # image, file
  case $with in
    docker) docker save --output "$2" "$1" ;;
    podman) podman save --quiet --format oci-archive --output "$2" "$1" ;;
    buildah) buildah push --quiet "$1" "oci-archive:$2:$1" ;;
  esac
}

with=$(builder)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
registry=${REGISTRY:-localhost/appliance}
archives=${SAVE-dist/images}
vllm=$(sed -n 's/^vllm==//p' requirements/engine-cuda.in)

images=("$@")
[[ ${#images[@]} -gt 0 ]] || images=(gateway engines engines-cpu)
for image in "${images[@]}"; do
  [[ -f $here/$image.Dockerfile ]] || fail "$image: no such image; one of gateway, engines and engines-cpu is wanted"
  from=$(base "$([[ $image == engines ]] && echo VLLM || echo PYTHON)")
  name=$registry/$image:$version
  echo "==> $name on $from, with $with"
  arguments=(--build-arg "BASE=$from" --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
  if [[ $image == engines ]]; then
    arguments+=(--build-arg "VLLM_VERSION=$vllm")
  fi
  for variable in PIP_INDEX_URL PIP_FIND_LINKS; do
    [[ -z ${!variable:-} ]] || arguments+=(--build-arg "$variable")
  done
  # shellcheck disable=SC2086
  "$with" build "${arguments[@]}" ${BUILD_ARGS:-} --tag "$name" --file "$here/$image.Dockerfile" .
  if [[ -n $archives ]]; then
    mkdir -p "$archives"
    file=$archives/$image-$version.tar
    rm -f "$file.part"
    save "$name" "$file.part"
    mv "$file.part" "$file"
    echo "$file"
  fi
done
