"""Media encryption by H.235.6: key agreement in call signalling, media keys and capabilities in H.245. Pure."""
