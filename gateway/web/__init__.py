"""HTTP: API, event stream, browser signalling, and the browser application in client/."""
