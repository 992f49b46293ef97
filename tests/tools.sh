#!/usr/bin/env bash
# Makes sure that what the tests run against is there: Mosquitto, RabbitMQ, PostgreSQL, Chromium, Node, a C++ compiler for
# libFuzzer. Installs it on Debian as root.
set -euo pipefail
cd "$(dirname "$0")"
PATH=$PATH:/usr/sbin:/usr/local/sbin
for folder in /usr/lib/postgresql/*/bin; do PATH=$PATH:$folder; done

declare -A package_of=(
    [mosquitto]=mosquitto
    [mosquitto_passwd]=mosquitto
    [mosquitto_sub]=mosquitto-clients
    [mosquitto_pub]=mosquitto-clients
    [chromium]="chromium fonts-liberation"
    [chromedriver]=chromium-driver
    [initdb]=postgresql
    [faketime]=faketime
    [/usr/lib/rabbitmq/bin/rabbitmq-server]=rabbitmq-server
    [node]=nodejs
    [npm]=npm
    [curl]=curl
    [g++]=g++
    [strace]=strace
)

missing=()
for program in "${!package_of[@]}"; do
    # shellcheck disable=SC2206 # some programs need several packages
    command -v "$program" >/dev/null || missing+=(${package_of[$program]})
done

# What comes from PyPI can be done without, see below.
if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null && ! python3 -c 'import ensurepip' 2>/dev/null; then
    missing+=(python3-venv)
fi

if ((${#missing[@]})); then
    mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
    if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        echo "installing ${packages[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        # A broker or database that Debian would start by itself is not wanted: the tests start their own.
        printf '#!/bin/sh\nexit 101\n' > /tmp/policy-rc.d.$$
        if [[ ! -e /usr/sbin/policy-rc.d ]]; then
            install -m 0755 /tmp/policy-rc.d.$$ /usr/sbin/policy-rc.d
            trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        fi
        rm -f /tmp/policy-rc.d.$$
        apt-get install -qq --no-install-recommends "${packages[@]}" >/dev/null
    else
        echo "The tests need programs that are not installed. On Debian or Ubuntu: sudo apt-get install ${packages[*]}" >&2
        exit 1
    fi
fi

# axe-core, which judges the page's accessibility, and SockJS's own client.
[[ node_modules/axe-core/package.json -nt package-lock.json ]] || npm ci --no-audit --no-fund
touch node_modules/axe-core/package.json

# Brings a tool from PyPI into a place of its own below target/. Without it everything else is tested all the same.
from_pypi() {
    local venv=../target/$1
    [[ ! -e $venv/$2 ]] || return 0
    rm -rf "$venv"
    if python3 -m venv "$venv" >/dev/null 2>&1 && "$venv/bin/pip" install --quiet "$1==$2"; then
        touch "$venv/$2"
    else
        rm -rf "$venv"
        echo "$1 $2 could not be installed: it needs python3 (3.10 or newer) with venv, and PyPI" >&2
    fi
}

# schemathesis, which asks the HTTP API what nobody thought of, and kosoku, which runs Autobahn's cases against WebSockets.
from_pypi schemathesis 4.32.5
from_pypi kosoku 0.1.0
