/** Becoming a host in the middle of a meeting: a field of the settings for the host PIN. */

import {explain, sentence} from "./messages.js";
import {byId, notice} from "./page.js";

export class HostProof {
  #call = null;
  #isHost = false;
  #asked = false;

  constructor() {
    byId("settings-prove").addEventListener("click", () => this.#prove());
    byId("settings-pin").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault(); // it would close the dialog
      this.#prove();
    });
  }

  /** Begin with a call that is about to start. */
  open(call) {
    this.#call = call;
    this.#isHost = this.#asked = false;
    byId("settings-host").hidden = false;
    byId("settings-pin").value = "";
    this.#problem("");
    call.addEventListener("unpromoted", ({detail}) => this.#refused(detail.reason));
  }

  /** Take from the room's list whether we are a host. */
  show(isHost) {
    if (isHost && !this.#isHost && this.#asked) notice("You are a host now");
    this.#isHost = isHost;
    byId("settings-host").hidden = isHost;
  }

  #prove() {
    const pin = byId("settings-pin").value.trim();
    if (!pin) return this.#problem("Enter the PIN of the host.");
    this.#asked = true;
    this.#problem("");
    this.#call?.promote(pin);
  }

  #refused(reason) {
    if (reason === "not-allowed") return this.#problem("This room has no PIN for hosts.");
    this.#problem(reason === "wrong-pin" ? sentence(reason) : `${explain(reason).title}.`);
    byId("settings-pin").select();
  }

  #problem(text) {
    byId("settings-pin-problem").textContent = text;
    byId("settings-pin").setAttribute("aria-invalid", String(Boolean(text)));
  }
}
