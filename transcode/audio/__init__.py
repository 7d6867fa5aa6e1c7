"""Sound: codecs, jitter buffer and concealment, telephone events, levels, the mixer."""
