"""ICE and DTLS-SRTP transports on aioice and aiortc, for browsers and other ICE peers."""
