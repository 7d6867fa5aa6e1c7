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
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then sudo=""; else sudo=sudo; fi
echo "Installing$missing ..."
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
