"""The voice and picture menu: asks callers for a room and its PIN."""
