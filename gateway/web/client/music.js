/**
 * The music that a guest hears who waits on the page. Telephones get it from the gateway as sound; a browser has no sound
 * of the gateway before it is in, and plays the same file.
 */

import {byId} from "./page.js";
import {recall, remember} from "./preferences.js";

export class WaitingMusic {
  #sound = byId("lobby-music");
  #button = byId("lobby-music-button");
  #wanted = false;

  constructor() {
    this.#button.addEventListener("click", () => this.#toggle());
    for (const kind of ["playing", "pause"]) this.#sound.addEventListener(kind, () => this.#show());
    // There is no music, or this browser knows no such file: it waits in silence, and is offered nothing.
    this.#sound.addEventListener("error", () => (this.#button.hidden = true));
  }

  /** Somebody waits: play, if it did not turn the music off the last time and if the browser lets a page sound yet. */
  start() {
    this.#wanted = true;
    this.#button.hidden = this.#sound.error !== null;
    this.#show();
    if (recall("waiting-music") !== "off") this.#play();
  }

  /** Nobody waits any more. */
  stop() {
    this.#wanted = false;
    this.#sound.pause();
    this.#sound.currentTime = 0;
  }

  #toggle() {
    remember("waiting-music", this.#sound.paused ? "on" : "off");
    if (this.#sound.paused) this.#play();
    else this.#sound.pause();
  }

  async #play() {
    try {
      await this.#sound.play();
    } catch {
      this.#show(); // it may not sound before somebody has pressed something: the button says so
    }
    if (!this.#wanted) this.#sound.pause(); // it came in meanwhile
  }

  #show() {
    const plays = !this.#sound.paused;
    this.#button.querySelector("use").setAttribute("href", `/static/icons.svg#${plays ? "music" : "music-off"}`);
    this.#button.querySelector("span").textContent = plays ? "Turn the music off" : "Play music while I wait";
  }
}
