"""Load generator: many calls at once, and what they cost the gateway."""
