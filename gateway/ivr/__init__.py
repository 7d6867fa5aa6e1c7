"""Voice and slate menus: their words in each language, spoken and written, and the sounds that are shipped."""
