/**
 * What people read when something goes wrong: a title, and what they can do about it.
 *
 * Keys are the gateway's reasons (`gateway/reasons.py`), those that the browser itself finds ("server-gone", "left"),
 * and for devices KIND-PROBLEM.
 */

const MESSAGES = {
  "left": ["You left the room", "You can come back at any time."],
  "no-such-room": ["There is no such room", "Check the number or the link that you were given."],
  "room-full": ["The room is full", "Try again when somebody has left, or ask the host to let more people in."],
  "room-locked": ["The room is locked", "The host lets nobody else in at the moment."],
  "no-host": ["No host has come", "You waited for as long as one can. Ask the host when the meeting begins, and try again."],
  "not-admitted": ["You were not let in", "Somebody in the room refused, or nobody answered. Ask whoever invited you."],
  "host-left": ["The meeting has ended", "The host has left, and the room ends then."],
  "alone": ["You were alone for too long", "The room ends a meeting of one. You can join again."],
  "idle": ["Nothing happened for too long", "The room ends when nobody speaks, types or comes. You can join again."],
  "pin-needed": ["The room asks for a PIN", "You find it in the invitation."],
  "wrong-pin": ["The PIN is wrong", "Check it and try again."],
  "locked-out": ["Too many wrong PINs", "None is taken from here for a while. Check the invitation and try again later."],
  "not-allowed": ["You may not enter", "The gateway turned you away. Ask whoever invited you."],
  "server-gone": ["The gateway does not answer", "Check your network connection and try again."],
  "ice-failed": [
    "Sound and picture do not get through",
    "The gateway answers, but no path for media was found. A firewall may be in the way; try another network.",
  ],
  "dtls-failed": ["No secure connection for media", "Try again; if it stays so, try another browser or network."],
  "no-media": ["Nothing was heard from you for too long", "Your connection may have been asleep. You can join again."],
  "hung-up-by-host": ["A host ended your call", "Ask the host if you think that was a mistake."],
  "room-closed": ["The meeting has ended", "The room was closed for everybody."],
  "replaced": ["You joined from somewhere else", "The meeting goes on in another tab or on another device."],
  "shutdown": ["The gateway is shutting down", "Try again in a few minutes."],
  "overload": ["The gateway is at its limit", "Try again in a few minutes."],
  "no-ports": ["The gateway is at its limit", "Try again in a few minutes."],
  "timeout": ["The connection took too long", "Check your network connection and try again."],
  "transport-failed": ["The connection broke", "Check your network connection and try again."],
  "no-common-format": ["This browser has no codec that the room knows", "Try a newer or another browser."],
  "bad-description": ["The room did not understand this browser", "Reload the page; if it stays so, try another one."],
  "encryption-unsupported": ["No encryption that the room knows", "Try a newer or another browser."],
  "bad-request": ["The gateway did not understand this page", "Reload it: the gateway may have been updated."],
  "unreachable": ["It cannot be reached", "Try again in a few minutes."],
  "no-webrtc": ["This browser cannot hold meetings", "It has no WebRTC, or it is turned off. Try another browser."],
  "internal": ["Something went wrong in the gateway", "Try again; if it stays so, tell whoever runs it."],

  "camera-denied": ["No permission for the camera", "Allow it beside the address of this page, then choose it again."],
  "camera-missing": ["No camera was found", "You can join without one."],
  "camera-busy": ["The camera is in use", "Another program holds it. Close that one and choose the camera again."],
  "camera-insecure": ["The browser keeps the camera back", "It gives it only to pages that were opened by https."],
  "camera-failed": ["The camera does not start", "Try another one, or join without."],
  "camera-unplugged": ["The camera is gone", "It was unplugged or turned off."],
  "microphone-denied": [
    "No permission for the microphone", "Allow it beside the address of this page, then choose it again.",
  ],
  "microphone-missing": ["No microphone was found", "You can join and listen."],
  "microphone-busy": ["The microphone is in use", "Another program holds it. Close that one and choose it again."],
  "microphone-insecure": ["The browser keeps the microphone back", "It gives it only to pages that were opened by https."],
  "microphone-failed": ["The microphone does not start", "Try another one, or join and listen."],
  "microphone-unplugged": ["The microphone is gone", "It was unplugged or turned off."],
};

/** Return {title, text} for a reason; one that is not known gets a general sentence that names it. */
export function explain(reason) {
  const [title, text] = MESSAGES[reason] ?? ["The call could not go on", `The gateway said: ${reason}.`];
  return {title, text};
}

/** Return a problem's title and text as one paragraph. */
export function sentence(reason) {
  const {title, text} = explain(reason);
  return `${title}. ${text}`;
}
