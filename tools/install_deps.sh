#!/usr/bin/env bash
# Installs the Debian packages that building needs, where any is missing. "--dev" adds those of tools/test.
set -euo pipefail

packages=(gcc cmake make pkg-config libopenblas-dev libcurl4-openssl-dev libcjson-dev libpcre2-dev
  libutf8proc-dev libseccomp-dev python3 python3-pip)
if [ "${1:-}" = --dev ]; then
  packages+=(clang clang-tidy clang-format libclang-rt-14-dev libcmocka-dev git)
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "packages are missing: ${missing[*]}; ask an administrator to apt-get install them" >&2
    exit 2
  }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
