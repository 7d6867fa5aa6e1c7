"""Session descriptions of all kinds that phones, room systems and browsers offer."""

_HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
_PRINT = ":".join(["AB"] * 32)
_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
_AUDIO = "m=audio 4000 {} 0 8 9 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
_VIDEO = (
    "m=video 4002 {} 96 34\r\nb=TIAS:2000000\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:* ccm fir\r\n"
)
_ICE = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"
    "a=candidate:1 1 UDP 2130706431 192.0.2.7 4000 typ host\r\n"
    "a=candidate:2 1 UDP 1694498815 198.51.100.7 4000 typ srflx raddr 192.0.2.7 rport 4000\r\n"
)
_DTLS = f"a=fingerprint:sha-256 {_PRINT}\r\na=setup:actpass\r\n"
_CRYPTO = (
    f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{_KEY}|2^31|1:4\r\na=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{_KEY}\r\n"
)
_MID = "a=mid:{}\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtcp-mux\r\n"
_SLIDES = "m=video 4004 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=content:slides\r\na=label:3\r\n"
_BFCP = (
    "m=application 4006 UDP/BFCP *\r\na=floorctrl:c-s\r\na=confid:1\r\na=userid:2\r\na=floorid:1 mstrm:3\r\n"
    "a=setup:actpass\r\n"
)
_TEXT = "m=text 4008 RTP/AVP 98 100\r\na=rtpmap:98 red/1000\r\na=fmtp:98 100/100\r\na=rtpmap:100 t140/1000\r\n"
_SIMULCAST = (
    "a=rid:1 send\r\na=rid:2 send\r\na=simulcast:send 1;2\r\na=ssrc:1 cname:x\r\na=ssrc-group:FID 1 2\r\n"
    "a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=96\r\n"
)
_WEB = "UDP/TLS/RTP/SAVPF"

DESCRIPTIONS = tuple(
    text.encode()
    for text in (
        _HEAD + _AUDIO.format("RTP/AVP"),
        _HEAD + _AUDIO.format("RTP/AVP") + _VIDEO.format("RTP/AVP"),
        _HEAD + _AUDIO.format("RTP/AVP") + "a=sendonly\r\n" + _VIDEO.format("RTP/AVPF") + _SLIDES + _BFCP,
        _HEAD + _AUDIO.format("RTP/SAVP") + _CRYPTO + _VIDEO.format("RTP/SAVPF") + _CRYPTO,
        _HEAD + _AUDIO.format("RTP/AVP") + _CRYPTO + _TEXT,
        _HEAD + _AUDIO.format("RTP/AVP") + _ICE + _VIDEO.format("RTP/AVP") + _ICE + _TEXT,
        _HEAD.replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0 1\r\na=ice-options:trickle\r\n")
        + (_AUDIO.format(_WEB) + _MID.format(0) + _ICE + _DTLS)
        + (_VIDEO.format(_WEB) + _MID.format(1) + _ICE + _DTLS + _SIMULCAST),
        _HEAD.replace("192.0.2.7", "0.0.0.0") + _AUDIO.format("RTP/AVP"),
        _HEAD.replace("IP4 192.0.2.7", "IP6 2001:db8::7") + _AUDIO.format("RTP/AVP") + _DTLS,
        _HEAD + _AUDIO.format("RTP/AVP").replace("4000", "0") + _VIDEO.format("RTP/AVP"),
    )
)
