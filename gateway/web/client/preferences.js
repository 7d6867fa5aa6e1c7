/** What the browser keeps between visits: name, devices, shortcuts. Works without storage too, but forgets then. */

const PREFIX = "roombridge.";

/** Return what was remembered, or null. */
export function recall(key) {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

/** Remember a text. */
export function remember(key, value) {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // Private windows and full disks: nothing is lost but comfort.
  }
}
