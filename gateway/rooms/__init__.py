"""Rooms: who is in which one, what each may do, and the desk that calls arrive at."""
