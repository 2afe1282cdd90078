#!/usr/bin/env bash
# Builds the image and holds it to its promises: a read-only root, no privileges, an ad request
# answered inside the container, a clean end on SIGTERM. Needs Debian or Ubuntu and root (or sudo)
# for what is missing: podman, and mmdebstrap where no image registry can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=docker.io/library/python:3.11-slim-bookworm
IMAGE=${IMAGE:-localhost/adserver:test}
WORK=$(mktemp -d)
CONTAINER=

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'image test: %s\n' "$*" >&2; exit 1; }

cleanup() {
    if [ -n "$CONTAINER" ]; then
        [ "${1:-0}" = 0 ] || podman logs --tail 40 "$CONTAINER" >&2 || true
        podman rm --force --volumes "$CONTAINER" >/dev/null 2>&1 || true
    fi
    rm -rf "$WORK"
}
trap 'cleanup $?' EXIT

install_missing() {
    local missing=()
    for tool in podman runc mmdebstrap; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]}"
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Runs inside other containers and without systemd: modest limits, cgroups by file, no netns.
configure_podman() {
    cat > "$WORK/containers.conf" <<'CONF'
[containers]
netns = "host"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
    export CONTAINERS_CONF=$WORK/containers.conf DISABLE_HC_SYSTEMD=true
}

# Where no registry answers: Debian plus this machine's CPython 3.11 stand in for the official image.
# That proves the Dockerfile's steps, not the official layers.
make_base() {
    podman image exists "$BASE" && return
    timeout 60 podman pull -q "$BASE" >/dev/null 2>&1 && return
    local python prefix root=$WORK/root lib=lib/python3.11 include=include/python3.11
    python=$(command -v python3.11) || fail "no registry and no python3.11 to make a base image of"
    prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
    [ -e "$prefix/$include/Python.h" ] || fail "no Python headers in $prefix/$include"
    say "no registry: making a base image with mmdebstrap"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,netbase,tzdata,libssl3,libsqlite3-0,libffi8,libbz2-1.0,liblzma5,libreadline8,zlib1g,libexpat1,libuuid1,libncursesw6 bookworm "$root"
    cp -a "$prefix"/lib/libpython3* "$root/usr/local/lib/"
    tar -C "$prefix" -c --exclude='site-packages/*' --exclude=__pycache__ --exclude="$lib/test" \
        "$lib" "$include" | tar -x -C "$root/usr/local"
    cp -aL "$prefix/bin/python3.11" "$root/usr/local/bin/python3.11"
    ln -sf python3.11 "$root/usr/local/bin/python3"
    ln -sf python3.11 "$root/usr/local/bin/python"
    chroot "$root" ldconfig
    chroot "$root" env -i PATH=/usr/local/bin:/usr/bin:/bin python -m ensurepip --default-pip >/dev/null
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar -C "$root" -c . | podman import -q --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' - "$BASE" >/dev/null
    rm -rf "$root"
}

build() {
    local lent=() file
    # This machine's way to its package index, if it has one; lent to the build, not left in the image.
    for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        [ -f "$file" ] && lent+=(--volume "$file:$file:ro")
    done
    podman build --pull=never --isolation chroot --network host --format docker "${lent[@]}" -t "$IMAGE" .
}

inside() { podman exec -i "$CONTAINER" "$@"; }

start() {
    PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    CONTAINER=$(podman run -d --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
        --memory 2g --env HOST=127.0.0.1 --env PORT="$PORT" --env ADS=2000 --env WORKERS=1 \
        "$IMAGE" adserver demo)
}

wait_until_healthy() {
    local began=$SECONDS
    until podman healthcheck run "$CONTAINER" >/dev/null 2>&1; do
        [ $((SECONDS - began)) -lt 180 ] || fail "not healthy after 180 s"
        [ "$(podman inspect "$CONTAINER" --format '{{.State.Running}}')" = true ] || fail "the server ended"
        sleep 1
    done
    echo "healthy after $((SECONDS - began)) s"
}

ask_for_an_ad() {
    inside python - <<'PY'
import json, os, time, urllib.error, urllib.request

base = f"http://127.0.0.1:{os.environ['PORT']}"


def until_ready(seconds):
    for _ in range(seconds * 4):
        try:
            return urllib.request.urlopen(f"{base}/readyz", timeout=2)
        except urllib.error.URLError:
            time.sleep(0.25)
    raise SystemExit("not ready in time")


until_ready(120)
body = {
    "id": "image-test",
    "placements": [{"id": "box", "sizes": [[300, 250]]}],
    "page": {"url": "http://pub.example/", "categories": ["IAB17"], "lang": "en"},
    "device": {"type": "desktop", "os": "windows", "browser": "chrome", "geo": {"country": "USA"}},
}
request = urllib.request.Request(f"{base}/v1/decision", json.dumps(body).encode())
answer = json.load(urllib.request.urlopen(request, timeout=5))
ad = answer["decisions"]["box"][0]
assert (ad["width"], ad["height"]) == (300, 250), ad
assert "<a" in ad["html"], ad
assert urllib.request.urlopen(ad["urls"]["impression"], timeout=5).status == 204
print(f"sold to {ad['advertiser']} at ${ad['price']['clear_cpm']} per mille in {answer['took_ms']} ms")
PY
}

check_confinement() {
    [ "$(inside id -u)" = 10001 ] || fail "does not run as uid 10001"
    inside sh -c 'touch /app/x 2>/dev/null || touch /opt/adserver/x 2>/dev/null' && fail "the root can be written to"
    inside grep -q '^CapEff:\s*0000000000000000' /proc/1/status || fail "has capabilities"
    inside grep -q '^NoNewPrivs:\s*1' /proc/1/status || fail "may gain privileges"
    inside python -c 'import importlib.util as i; assert not i.find_spec("torch") and not i.find_spec("pip")' \
        || fail "carries torch or pip"
    echo "uid 10001, read-only root, no capabilities, no torch"
}

check_report() {
    inside adserver report ctr --format html > "$WORK/report.html" || fail "the report fails"
    grep -q '<html' "$WORK/report.html" || fail "the report is no page"
    echo "report: $(wc -c < "$WORK/report.html") bytes"
}

stop() {
    podman stop --time 20 "$CONTAINER" >/dev/null
    local code
    code=$(podman inspect "$CONTAINER" --format '{{.State.ExitCode}}')
    [ "$code" = 0 ] || fail "exit code $code on SIGTERM"
    echo "exit code 0"
}

install_missing
configure_podman
make_base
say "building $IMAGE"
build
podman image inspect "$IMAGE" --format '{{.Size}}' | awk '{ printf "size: %d MB\n", $1 / 1e6 }'
say "running it"
start
wait_until_healthy
ask_for_an_ad
check_confinement
check_report
say "stopping it"
stop
say "the image does what it should"
