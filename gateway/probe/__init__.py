"""A test call: PJSUA2, an independent SIP phone, calls a room and tells what came back."""
