"""H.225.0 call signalling: `call.H323Call` is one call, sans-IO, with its H.245 session inside."""
