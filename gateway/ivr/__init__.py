"""Voice and slate menus; nothing of it is there yet."""
