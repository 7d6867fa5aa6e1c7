"""Pictures: decoders, composition, shared encoders."""
