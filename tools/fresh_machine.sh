#!/usr/bin/env bash
# tools/fresh_machine.sh [FOLDER]: shows that a bare Debian 12 goes from a clone of this checkout's last commit to
# the table of README's first command, and passes the tests of its second. As root, with debootstrap; needs the
# network for packages and about 4 GB below FOLDER (default: a new folder in TMPDIR), which must not exist yet and is
# removed at the end unless KEEP=1. This machine's ways to the network (proxies, certificates, apt's checks) are lent.
#
# The bare system is entered by pivot_root in a mount namespace of its own: inside a mere chroot the kernel refuses
# user namespaces, so that the sandbox could not build its own.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bare=${1:-$(mktemp -d -u "${TMPDIR:-/tmp}/bare.XXXXXX")}

fail() { echo "fresh_machine: $*" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || fail "must be root"
command -v debootstrap >/dev/null || fail "debootstrap is missing; try apt-get install debootstrap"
[ ! -e "$bare" ] || fail "'$bare' is there already; name a new folder"

finish() { [ "${KEEP:-}" = 1 ] || rm -rf --one-file-system "$bare"; }
trap finish EXIT

# What a person types, in a shell of the bare system.
inside() {
  unshare --mount --pid --fork --kill-child bash -euc '
    bare=$1
    mount --make-rprivate /
    mount --bind "$bare" "$bare"
    mkdir -p "$bare/.before"
    mount --rbind /dev "$bare/dev"
    mount --rbind /sys "$bare/sys"
    mount -t proc proc "$bare/proc"
    cd "$bare"
    pivot_root . .before
    cd /
    umount -l /.before
    exec env -i HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
      bash -euc "$2"' inside "$bare" "$1"
}

lend_network() {
  cp -L /etc/resolv.conf /etc/hosts "$bare/etc/"
  apt-config dump | { grep -E '^Acquire::(Check|http|https|Retries)' || true; } >"$bare/etc/apt/apt.conf.d/99lent"
  if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$bare/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$bare/etc/ssl/certs/"
  fi
}

echo "== a bare Debian 12 in $bare"
log=${TMPDIR:-/tmp}/debootstrap.log
debootstrap --variant=minbase bookworm "$bare" >"$log" 2>&1 || fail "debootstrap failed: $(tail -n 3 "$log")"
lend_network
inside 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends git ca-certificates >/dev/null'
lend_network
git clone -q --bare "file://$root" "$bare/srv/rl-train.git"

echo "== git clone, and the first command"
inside 'cd /root && git clone -q /srv/rl-train.git rl-train && cd rl-train && time tools/run recipes/murphy.json'
echo "== the second command"
inside 'cd /root/rl-train && time tools/test'
echo "== a fresh machine goes from the clone to the table, and passes the tests"
