"""The way through firewalls and address translators (H.460.17, .18, .19): messages and decisions; pure."""
