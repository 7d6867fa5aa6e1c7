/**
 * What we send: our camera and microphone, muted or not. The same from the join page into the room.
 *
 * A camera that is off is closed, so that its light goes out; a muted microphone stays open and sends silence, so that
 * unmuting takes no time. Changes are made one after the other. Events: "changed" (something is different) and
 * "problem" (detail: a key of messages.js).
 */

import * as devices from "./devices.js";

export class OwnMedia extends EventTarget {
  tracks = {camera: null, microphone: null};
  problems = {camera: null, microphone: null};
  choices = {camera: devices.chosen("camera"), microphone: devices.chosen("microphone")};
  muted = false;
  #queue = Promise.resolve();

  /** Whether the others can hear us. */
  get heard() {
    return Boolean(this.tracks.microphone) && !this.muted;
  }

  /** Whether the others can see us. */
  get seen() {
    return Boolean(this.tracks.camera);
  }

  /** Open what was chosen the last time. */
  start() {
    return this.#then(() => this.#open(this.choices));
  }

  /** Change to another device of a kind; "" for none. */
  choose(kind, choice) {
    devices.choose(kind, choice);
    return this.#then(async () => {
      this.choices[kind] = choice;
      this.#close(kind);
      await this.#open({[kind]: choice});
    });
  }

  /** Mute or unmute; unmuting without a microphone looks for one. */
  async mute(muted) {
    this.muted = muted;
    if (!muted && !this.tracks.microphone) return this.choose("microphone", this.choices.microphone || "default");
    if (this.tracks.microphone) this.tracks.microphone.enabled = !muted;
    this.#changed();
  }

  /** Turn the camera on or off. */
  camera(on) {
    if (on) return this.choose("camera", this.choices.camera || "default");
    return this.#then(() => {
      this.#close("camera");
      this.#changed();
    });
  }

  /** Close everything. */
  stop() {
    return this.#then(() => {
      for (const kind of devices.KINDS) this.#close(kind);
      this.#changed();
    });
  }

  #then(step) {
    this.#queue = this.#queue.then(step).catch((error) => console.error("devices:", error));
    return this.#queue;
  }

  async #open(choices) {
    const {tracks, problems} = await devices.open(choices);
    for (const kind of Object.keys(choices)) {
      this.#close(kind);
      this.tracks[kind] = tracks[kind];
      this.problems[kind] = problems[kind];
      tracks[kind]?.addEventListener("ended", () => this.#unplugged(kind, tracks[kind]));
    }
    if (this.tracks.microphone) this.tracks.microphone.enabled = !this.muted;
    this.#changed();
    for (const problem of Object.values(problems)) if (problem) this.#tell("problem", problem);
  }

  #close(kind) {
    this.tracks[kind]?.stop();
    this.tracks[kind] = null;
  }

  #unplugged(kind, track) {
    if (this.tracks[kind] !== track) return;
    this.tracks[kind] = null;
    this.problems[kind] = `${kind}-unplugged`;
    this.#changed();
    this.#tell("problem", this.problems[kind]);
  }

  #changed() {
    this.#tell("changed");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}
