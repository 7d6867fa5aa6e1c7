"""Control plane: what a room is, who is in it, and what each may do."""
