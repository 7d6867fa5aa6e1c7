"""Storage: rooms, accounts and call records in SQLAlchemy tables."""
