"""RTP payload formats of video codecs, and the buffer that makes frames of packets."""
