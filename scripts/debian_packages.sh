#!/usr/bin/env bash
# Install the Debian packages that Qt and Xvfb need, where that is allowed; else name them.
# With --tests, Chromium too, and fail unless Xvfb works in the end. Does nothing where there is no dpkg.
set -eu

packages=(
    python3-venv xvfb
    libegl1 libgl1 libgl1-mesa-dri libxcb-cursor0 libxkbcommon-x11-0 libxcb-icccm4 libxcb-keysyms1 libxcb-image0
    libxcb-render-util0 libxcb-shape0 libxcb-xkb1 libdbus-1-3 libfontconfig1 libglib2.0-0
)

if [ "${1:-}" = --tests ]; then packages+=(chromium); fi

installed() { # newer releases carry some libraries under a name that ends in t64
    for name in "$1" "$1t64"; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ]; then return 0; fi
    done
    return 1
}

missing=()
if command -v dpkg-query >/dev/null; then
    for package in "${packages[@]}"; do
        if [ "$package" = python3-venv ] && "${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null; then continue; fi
        installed "$package" || missing+=("$package")
    done
fi

if [ ${#missing[@]} -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
    if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
        echo "Installing Debian packages: ${missing[*]}"
        "${as_root[@]}" apt-get -qq update
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "Missing Debian packages; please install them: apt-get install ${missing[*]}" >&2
    fi
fi

if [ "${1:-}" = --tests ]; then
    # Xvfb writes the number of its display to the pipe when it is ready.
    if ! timeout 20 bash -c 'exec 3< <(exec Xvfb -displayfd 1 -nolisten tcp 2>/dev/null); read -r -t 15 _ <&3; ok=$?; kill $!; exit $ok'; then
        echo "Xvfb does not start; the tests of the window need it (Debian package xvfb)." >&2
        exit 1
    fi
fi
