"""RTP and RTCP: packets, sessions, SRTP, UDP endpoints."""
