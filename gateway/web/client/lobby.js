/**
 * The lobby: what a guest reads who waits to be let in, in place of the join page's form.
 *
 * Its camera and microphone stay in the preview beside it: nothing is sent before it is in.
 */

import {explain, sentence} from "./messages.js";
import {WaitingMusic} from "./music.js";
import {byId} from "./page.js";

const WORDS = {
  lobby: {
    title: "Waiting for the host",
    text: "The meeting begins as soon as the host is here. You come in by yourself; nothing is to be done.",
    tab: "Waiting",
  },
  knocking: {
    title: "You have knocked",
    text: "The room is locked. The people inside were told that you are here; you come in as soon as one lets you in.",
    tab: "Knocking",
  },
};

export class LobbyPage {
  #call = null;
  #music = new WaitingMusic();

  constructor() {
    byId("lobby-leave").addEventListener("click", () => this.#call?.leave());
    byId("lobby-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#prove();
    });
  }

  /** Show what a call waits for: the gateway's "waiting" message. */
  show(call, {for: stage, room}) {
    const first = byId("lobby").hidden;
    this.#call = call;
    const {title, text, tab} = WORDS[stage] ?? WORDS.lobby;
    byId("lobby-room").textContent = room.name;
    byId("lobby-title").textContent = title;
    byId("lobby-text").textContent = text;
    document.title = `${tab} – ${room.name} – Roombridge`;
    byId("join-form").hidden = true;
    byId("lobby").hidden = false;
    if (!first) return;
    this.#problem("");
    byId("lobby-pin").value = "";
    byId("lobby-host").open = false;
    byId("lobby-title").focus({preventScroll: true});
    this.#music.start();
    call.addEventListener("unpromoted", ({detail}) => this.#refused(detail.reason));
  }

  /** Give the form back. */
  hide() {
    this.#call = null;
    this.#music.stop();
    byId("lobby").hidden = true;
    byId("join-form").hidden = false;
  }

  #prove() {
    const pin = byId("lobby-pin").value.trim();
    if (!pin) return this.#refused("pin-needed");
    this.#problem("");
    this.#call?.promote(pin);
  }

  #refused(reason) {
    const words = {"pin-needed": "Enter the PIN of the host.", "not-allowed": "This room has no PIN for hosts."};
    this.#problem(words[reason] ?? (reason === "wrong-pin" ? sentence(reason) : `${explain(reason).title}.`));
    byId("lobby-pin").select();
  }

  #problem(text) {
    byId("lobby-problem").textContent = text;
    byId("lobby-pin").setAttribute("aria-invalid", String(Boolean(text)));
  }
}
