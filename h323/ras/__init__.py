"""RAS (H.225.0 §7.8 to §7.19): the gatekeeper that we are, and the endpoint of somebody else's; bytes and clock in."""
