"""SIP adapter: sans-IO message, transaction and dialog cores, and thin Twisted shells around them."""
