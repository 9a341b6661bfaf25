#!/usr/bin/env bash
# Build the service image, run it as it is deployed, and send it a radiograph.
#
#   docker/verify.sh                       with a Docker engine, or else as root with debootstrap,
#                                          podman and buildah (apt-get install ...)
#   VERIFY_MODELS=DIR docker/verify.sh     serve DIR instead of the models in the image
#   VERIFY_BASE=FILE.tar docker/verify.sh  keep the base system in FILE and reuse it (no engine)
#   VERIFY_TASKS=segment docker/verify.sh  request these tasks; all four by default
#
# With an engine and without one, the container has a read-only root, no capabilities, no privilege
# escalation, a tmpfs on /tmp, a volume for jobs and uid 10001. The pip settings of the machine are
# passed to the build as secrets and stay out of the image. All products are removed at the end.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly IMAGE=g2d-radiograph:verify
readonly NAME="g2d-verify-$$"
readonly READY_WITHIN_S=60
readonly TASKS=${VERIFY_TASKS:-classify,segment,detect,ground}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/g2d-verify.XXXXXX")
readonly WORK
SERVICE_PID=

say() { printf '== %s\n' "$*"; }
fail() { printf 'verify: %s\n' "$*" >&2; exit 1; }

has_engine() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }
storage() { printf -- '--storage-driver=vfs --root=%s/storage --runroot=%s/run' "$WORK" "$WORK"; }
# shellcheck disable=SC2046  # the options are words
b() { buildah $(storage) "$@"; }

cleanup() {
  local status=$?
  set +e
  if has_engine; then
    [ "$status" -eq 0 ] || docker logs "$NAME" >"$WORK/service.log" 2>&1
    docker rm --force "$NAME" >/dev/null 2>&1
    docker volume rm "$NAME-jobs" >/dev/null 2>&1
  else
    [ -z "$SERVICE_PID" ] || { kill "$SERVICE_PID"; wait "$SERVICE_PID"; } 2>/dev/null
    b rm --all >/dev/null 2>&1
  fi
  [ "$status" -eq 0 ] || [ ! -s "$WORK/service.log" ] || tail -n 40 "$WORK/service.log" >&2
  rm -rf "$WORK"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

check_compose() {
  local client
  for client in "docker compose" docker-compose; do
    case $($client version --short 2>/dev/null) in '' | 1.*) continue ;; esac # none, or too old
    $client --file docker-compose.yml --profile '*' config --quiet
    say "docker-compose.yml is valid ($client)"
    return
  done
  say "docker-compose.yml not checked: no compose client here"
}

# Options that pass the pip settings of the machine to the build, one per line.
build_secrets() {
  python3 docker/pip_settings.py "$WORK/secrets"
  local file
  for file in "$WORK"/secrets/*; do
    [ ! -e "$file" ] || printf -- '--secret\nid=%s,src=%s\n' "$(basename "$file")" "$file"
  done
}

base_system() {
  local tar=${VERIFY_BASE:-$WORK/base.tar}
  if [ ! -s "$tar" ]; then
    debootstrap --variant=minbase bookworm "$WORK/base" >"$WORK/debootstrap.log" \
      || { tail -n 20 "$WORK/debootstrap.log" >&2; fail "debootstrap failed"; }
    tar --create --file "$tar.part" --directory "$WORK/base" --one-file-system .
    mv "$tar.part" "$tar"
    rm -rf "$WORK/base"
  fi
  # shellcheck disable=SC2046
  podman $(storage) import --quiet "$tar" docker.io/library/debian:bookworm-slim >/dev/null
}

build_with_buildah() {
  local tool
  [ "$(id -u)" -eq 0 ] || fail "without a Docker engine this needs root"
  for tool in debootstrap podman buildah unshare setpriv; do
    command -v "$tool" >/dev/null || fail "without a Docker engine this needs $tool"
  done
  say "base system"
  base_system
  say "image"
  b bud --isolation chroot --format docker --pull=never --layers=false "${SECRETS[@]}" \
    --file docker/service.Dockerfile --tag "$IMAGE" .
  b from --name "$NAME" --pull-never "$IMAGE" >/dev/null
  ROOT=$(b mount "$NAME")
}

# Inside a separate mount namespace: the set-up that `docker run --read-only ...` would create.
run_without_engine() {
  local port=$1
  local -a environment command
  mapfile -t environment < <(b inspect --format \
    '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' --type image "$IMAGE" | sed '/^$/d')
  mapfile -t command < <(b inspect --format \
    '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' \
    --type image "$IMAGE" | sed '/^$/d')
  USER_ID=$(b inspect --format '{{.OCIv1.Config.User}}' --type image "$IMAGE")
  [ "${USER_ID%%:*}" != 0 ] && [ -n "$USER_ID" ] || fail "the image runs as root"
  # A new volume starts with the content of the image in its place, owner and mode included.
  cp --archive "$ROOT/srv/g2d/jobs" "$WORK/jobs"
  # shellcheck disable=SC2016  # expanded by the inner shell
  unshare --mount --propagation private bash -euc '
    root=$1 models=$2 jobs=$3 uid=$4; shift 4
    mount --bind "$root" "$root"
    [ -z "$models" ] || mount --bind "$models" "$root/srv/g2d/models"
    mount --bind "$jobs" "$root/srv/g2d/jobs"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -o remount,bind,ro "$root"
    exec chroot "$root" /usr/bin/setpriv --reuid "$uid" --regid "$uid" --clear-groups \
      --no-new-privs --bounding-set=-all --inh-caps=-all \
      /usr/bin/env --ignore-environment --chdir /srv/g2d "$@"
  ' - "$ROOT" "${VERIFY_MODELS:+$(realpath "$VERIFY_MODELS")}" "$WORK/jobs" "${USER_ID%%:*}" \
    "${environment[@]}" G2D_HOST=127.0.0.1 G2D_PORT="$port" "${command[@]}" \
    >"$WORK/service.log" 2>&1 &
  SERVICE_PID=$!
}

in_image() { # run a command in the image, as its user
  if has_engine; then
    docker run --rm --entrypoint "" "$IMAGE" "$@"
  else
    chroot --userspec="$USER_ID" "$ROOT" "$@"
  fi
}

is_running() {
  if has_engine; then
    [ "$(docker inspect --format '{{.State.Running}}' "$NAME")" = true ]
  else
    kill -0 "$SERVICE_PID" 2>/dev/null
  fi
}

wait_until_ready() {
  local start=$SECONDS
  until G2D_PORT=$PORT python3 docker/healthcheck.py; do
    is_running || fail "the service ended before it was ready"
    [ $((SECONDS - start)) -lt "$READY_WITHIN_S" ] || fail "not ready after $READY_WITHIN_S s"
    sleep 0.2
  done
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

check_compose
secrets=$(build_secrets)
SECRETS=()
[ -z "$secrets" ] || mapfile -t SECRETS <<<"$secrets"
PORT=$(free_port)

if has_engine; then
  say "image (Docker engine)"
  DOCKER_BUILDKIT=1 docker build "${SECRETS[@]}" --file docker/service.Dockerfile --tag "$IMAGE" .
  docker run --detach --name "$NAME" --read-only --cap-drop ALL --tmpfs /tmp \
    --security-opt no-new-privileges --publish "127.0.0.1:$PORT:8000" \
    --volume "$NAME-jobs:/srv/g2d/jobs" --env G2D_ALLOW_ANONYMOUS=true \
    ${VERIFY_MODELS:+--volume "$(realpath "$VERIFY_MODELS"):/srv/g2d/models:ro"} "$IMAGE" >/dev/null
else
  build_with_buildah
  run_without_engine "$PORT"
fi

say "no torch, no pip, no build settings in the image"
in_image /opt/g2d/bin/python -c '
import importlib.util, pathlib, sys
present = [name for name in ("torch", "transformers", "lightning", "pip") if importlib.util.find_spec(name)]
left = [str(path) for path in map(pathlib.Path, ("/etc/pip.conf", "/run/secrets/ca.crt")) if path.exists()]
sys.exit(f"in the image: {present + left}" if present + left else 0)'

say "ready on port $PORT"
wait_until_ready

say "a radiograph"
python3 docker/probe.py --port "$PORT" --tasks "$TASKS"

say "the same as a job"
python3 docker/probe.py --port "$PORT" --tasks "$TASKS" --job

say "health check of the image"
if has_engine; then
  docker exec "$NAME" /opt/g2d/bin/python /opt/g2d/healthcheck.py
else
  G2D_PORT=$PORT chroot --userspec="$USER_ID" "$ROOT" /opt/g2d/bin/python /opt/g2d/healthcheck.py
fi

say "stopping on SIGTERM"
if has_engine; then
  docker stop --time 20 "$NAME" >/dev/null
  code=$(docker inspect --format '{{.State.ExitCode}}' "$NAME")
else
  grep -E '^(Uid|NoNewPrivs|CapEff|VmRSS)' "/proc/$SERVICE_PID/status"
  kill -TERM "$SERVICE_PID"
  code=0; wait "$SERVICE_PID" || code=$?
  SERVICE_PID=
fi
case $code in
  0 | 143) ;;
  *) fail "the service ended with $code" ;;
esac
say "verified"
