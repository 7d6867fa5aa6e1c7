"""Media plane: RTP, codecs, mixing and composing; it knows no signalling protocol and no room policy."""
