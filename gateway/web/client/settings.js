/** The settings of the room: other devices, a level, the loudspeaker, shortcuts on or off. */

import {fill} from "./devices.js";
import {sentence} from "./messages.js";
import {Meter} from "./meter.js";
import {byId} from "./page.js";
import {recall, remember} from "./preferences.js";

/** Whether single keys work as shortcuts; who types by voice turns them off (WCAG 2.1.4). */
export const shortcutsOn = () => recall("shortcuts") !== "off";

export class Settings {
  #dialog = byId("settings");
  #media;
  #meter = new Meter(byId("settings-level"));
  #picture = byId("picture");

  constructor(media) {
    this.#media = media;
    for (const kind of ["camera", "microphone"]) {
      byId(`settings-${kind}`).addEventListener("change", (event) => media.choose(kind, event.target.value));
    }
    byId("settings-speaker").addEventListener("change", (event) => this.#speaker(event.target.value));
    byId("settings-speaker-row").hidden = !this.#picture.setSinkId;
    byId("settings-keys").addEventListener("change", ({target}) => remember("shortcuts", target.checked ? "on" : "off"));
    this.#dialog.addEventListener("close", () => this.#meter.stop());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    media.addEventListener("changed", () => this.#show());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#show());
  }

  /** Show the dialog; the browser keeps the focus inside and gives it back. */
  open() {
    this.#dialog.showModal();
    byId("settings-keys").checked = shortcutsOn();
    this.#show();
  }

  /** Close it if it is open. */
  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  #show() {
    if (!this.#dialog.open) return;
    const {tracks, problems, choices, heard} = this.#media;
    for (const kind of ["camera", "microphone"]) {
      fill(byId(`settings-${kind}`), kind, tracks[kind] ? choices[kind] : "", tracks[kind]);
      byId(`settings-${kind}-problem`).textContent = problems[kind] ? sentence(problems[kind]) : "";
    }
    fill(byId("settings-speaker"), "speaker", this.#picture.sinkId || "default");
    this.#meter.show(heard ? tracks.microphone : null);
  }

  async #speaker(id) {
    try {
      await this.#picture.setSinkId?.(id === "default" ? "" : id);
    } catch (error) {
      console.warn("loudspeaker:", error.message);
    }
  }
}
