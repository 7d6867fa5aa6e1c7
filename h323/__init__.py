"""H.323 adapter: H.225.0, H.245 and RAS spoken to room systems; nothing of it is there yet."""
