"""WebRTC adapter: browser sessions, from session descriptions to the media plane's plain data."""
