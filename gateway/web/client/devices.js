/**
 * Cameras and microphones: opening the chosen ones, listing them, remembering them, and why one could not be had.
 *
 * A choice is a device id, "default" for whichever the browser prefers, or "" for none. A problem is a key of
 * messages.js, such as "camera-denied".
 */

import {recall, remember} from "./preferences.js";

export const KINDS = ["camera", "microphone"];
const INPUTS = {camera: "videoinput", microphone: "audioinput"};

/** Return the remembered choice of a kind. */
export function chosen(kind) {
  return recall(kind) ?? "default";
}

/** Remember the choice of a kind. */
export function choose(kind, choice) {
  remember(kind, choice);
}

/**
 * Open the chosen devices: {camera, microphone} as choices.
 *
 * Returns {tracks: {camera, microphone}, problems: {camera, microphone}}: a track or null, a problem or null, each.
 */
export async function open(choices) {
  const wanted = KINDS.filter((kind) => choices[kind]);
  const found = {tracks: {camera: null, microphone: null}, problems: {camera: null, microphone: null}};
  if (!wanted.length) return found;
  if (!navigator.mediaDevices?.getUserMedia) {
    for (const kind of wanted) found.problems[kind] = `${kind}-insecure`;
    return found;
  }
  try {
    // Both in one request, so that people are asked once.
    keep(found, await ask(choices, wanted));
    return found;
  } catch (error) {
    for (const kind of wanted) found.problems[kind] = problem(kind, error);
    if (wanted.length > 1) await openEach(choices, wanted, found, error);
    else if (lost(error) && choices[wanted[0]] !== "default") return open({...choices, [wanted[0]]: "default"});
  }
  return found;
}

/** One of two failed: try them one by one, but ask nobody again who has just said no. */
async function openEach(choices, wanted, found, error) {
  const refused = error.name === "NotAllowedError" ? await refusals(wanted) : new Set();
  for (const kind of wanted) {
    if (refused.has(kind)) continue;
    const one = await open({[kind]: choices[kind]});
    found.tracks[kind] = one.tracks[kind];
    found.problems[kind] = one.problems[kind];
  }
}

/** Which kinds are refused; all of them where the browser does not say which. */
async function refusals(wanted) {
  const states = {};
  for (const kind of wanted) {
    try {
      states[kind] = (await navigator.permissions.query({name: kind})).state;
    } catch {
      return new Set(wanted);
    }
  }
  const denied = wanted.filter((kind) => states[kind] === "denied");
  // Nothing is denied for good: the question was waved away, and is not put again.
  return new Set(denied.length ? denied : wanted.filter((kind) => states[kind] !== "granted"));
}

function ask(choices, wanted) {
  const constraints = {};
  for (const kind of wanted) {
    const device = choices[kind] === "default" ? {} : {deviceId: {exact: choices[kind]}};
    if (kind === "camera") {
      constraints.video = {
        ...device, width: {ideal: 1280}, height: {ideal: 720}, frameRate: {ideal: 30, max: 30},
      };
    } else {
      constraints.audio = {...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true};
    }
  }
  return navigator.mediaDevices.getUserMedia(constraints);
}

function keep(found, stream) {
  found.tracks.camera = stream.getVideoTracks()[0] ?? null;
  found.tracks.microphone = stream.getAudioTracks()[0] ?? null;
}

function lost(error) {
  return error.name === "OverconstrainedError" || error.name === "NotFoundError";
}

const PROBLEMS = {
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
};

function problem(kind, error) {
  return `${kind}-${PROBLEMS[error.name] ?? "failed"}`;
}

/** List the devices of a kind ("camera", "microphone", "speaker") as {id, label}, the browser's default left out. */
export async function list(kind) {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const wanted = kind === "speaker" ? "audiooutput" : INPUTS[kind];
  const all = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === wanted);
  return all
    .filter((device) => device.deviceId && device.deviceId !== "default" && device.deviceId !== "communications")
    .map((device, index) => ({id: device.deviceId, label: device.label || `${NAMES[kind]} ${index + 1}`}));
}

const NAMES = {camera: "Camera", microphone: "Microphone", speaker: "Loudspeaker"};

/**
 * Fill a select element with the devices of a kind and mark the one in use.
 *
 * track is what is open, or null for none. The choice "default" is offered too where the browser does not tell what
 * there is (it does only after the permission), so that it can be asked for again.
 */
export async function fill(select, kind, choice, track = null) {
  const devices = await list(kind);
  const real = choice === "default" ? track?.getSettings().deviceId : choice;
  const known = devices.some((device) => device.id === real);
  const options = devices.map((device) => new Option(device.label, device.id));
  if (choice ? !known : !devices.length) {
    options.unshift(new Option(track?.label || `${NAMES[kind]} of the system`, "default"));
  }
  if (kind !== "speaker") options.push(new Option(`No ${kind}`, ""));
  select.replaceChildren(...options);
  select.value = !choice ? "" : known ? real : "default";
}
