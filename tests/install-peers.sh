#!/bin/sh
# Install the programs that the interop tests call and are called by, where they are missing.
set -eu
missing=""
for pair in chromium:chromium baresip:baresip linphonec:linphone-cli sipp:sip-tester tshark:tshark \
    espeak-ng:espeak-ng kamailio:kamailio node:nodejs npm:npm ip:iproute2 nft:nftables; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
# Without it baresip has no H.264.
[ -e /usr/lib/baresip/modules/avcodec.so ] || missing="$missing baresip-ffmpeg"
# Its TLS is a package of its own.
[ -e /usr/lib/kamailio/modules/tls.so ] || ls /usr/lib/*/kamailio/modules/tls.so >/dev/null 2>&1 || missing="$missing kamailio-tls-modules"
# Without it Playwright, which drives Chromium, does not start.
for place in /usr/lib/*/libatomic.so.1 /usr/lib/libatomic.so.1 /usr/lib64/libatomic.so.1 ""; do
    [ -e "$place" ] && break
done
[ -n "$place" ] || missing="$missing libatomic1"
fetch_jssip() {
    # A library of npm's, bundled for a page; it stays outside the repository.
    version=3.13.8
    place=${XDG_CACHE_HOME:-$HOME/.cache}/roombridge-tests/jssip-$version
    [ ! -e "$place/jssip.js" ] || return 0
    echo "Fetching JsSIP $version ..."
    mkdir -p "$place"
    npm install --silent --no-audit --no-fund --prefix "$place" "jssip@$version" esbuild@0.25.12
    "$place/node_modules/.bin/esbuild" "$place/node_modules/jssip/lib/JsSIP.js" --bundle --format=iife \
        --global-name=JsSIP --log-level=warning "--outfile=$place/new.js"
    mv "$place/new.js" "$place/jssip.js"
}
if [ -z "$missing" ]; then
    fetch_jssip
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "The interop tests need what Debian calls:$missing. Install it first." >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Please install as root: apt install$missing" >&2
        exit 1
    fi
    sudo=sudo
fi
echo "Installing$missing ..."
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fetch_jssip
