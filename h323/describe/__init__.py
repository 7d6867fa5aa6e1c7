"""Media as H.245 spells it, to and from the house's descriptions (`transcode.media`). Pure."""
