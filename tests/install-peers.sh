#!/bin/sh
# Install the programs that the interop tests call and are called by, where they are missing.
set -eu
missing=""
for pair in chromium:chromium baresip:baresip linphonec:linphone-cli sipp:sip-tester tshark:tshark \
    espeak-ng:espeak-ng; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
# Without it baresip has no H.264.
[ -e /usr/lib/baresip/modules/avcodec.so ] || missing="$missing baresip-ffmpeg"
# Without it Playwright, which drives Chromium, does not start.
for place in /usr/lib/*/libatomic.so.1 /usr/lib/libatomic.so.1 /usr/lib64/libatomic.so.1 ""; do
    [ -e "$place" ] && break
done
[ -n "$place" ] || missing="$missing libatomic1"
[ -n "$missing" ] || exit 0
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
