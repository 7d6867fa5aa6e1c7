"""H.245, the control protocol of H.323 calls: sans-IO state machines, and `control.Control` which joins them."""
