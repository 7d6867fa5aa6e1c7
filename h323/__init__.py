"""H.323 adapter: H.225.0, H.245 and RAS spoken to room systems; so far their encoding alone."""
