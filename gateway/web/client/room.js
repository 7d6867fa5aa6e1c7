/** The room: its one picture, who is in it, our own controls, and how the connection is doing. */

import {Calls} from "./calls.js";
import {Chat} from "./chat.js";
import {Door} from "./door.js";
import {HostProof} from "./host.js";
import {explain, sentence} from "./messages.js";
import {byId, dress, notice, showView, warn} from "./page.js";
import {People} from "./people.js";
import {Settings, shortcutsOn} from "./settings.js";

/** Milliseconds without a move after which the controls step back in full screen. */
const IDLE_TIME = 3000;

const LINKS = {
  joining: "Connecting",
  connected: "Connected",
  unsteady: "Unsteady connection",
  reconnecting: "Reconnecting",
};

export class RoomPage {
  #media;
  #call = null;
  #calls = new Calls();
  #people = new People({
    send: (one) => this.#calls.send(one),
    light: (participant) => this.#call?.wish({type: "spotlight", participant}),
  });
  #chat = new Chat();
  #door = new Door((id, admitted) => this.#call?.decide(id, admitted));
  #host = new HostProof();
  #settings;
  #picture = byId("picture");
  #idle = 0;
  #wake = null;
  #mutedByHost = false;
  /** Our participant id. */
  #you = "";

  /** media: an OwnMedia. */
  constructor(media) {
    this.#media = media;
    this.#settings = new Settings(media);
    const clicks = {
      "microphone-button": () => this.#microphone(),
      "camera-button": () => this.#camera(),
      "people-button": () => this.#showSide(byId("people").hidden ? "people" : ""),
      "chat-button": () => this.#showSide(byId("chat").hidden ? "chat" : ""),
      "screen-button": () => this.#screen(),
      "settings-button": () => this.#settings.open(),
      "leave-button": () => this.#call?.leave(),
      "banner-retry": () => this.#call?.retry(),
      "hear": () => this.#play(),
    };
    for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
    byId("screen-button").hidden = !document.fullscreenEnabled && !this.#picture.webkitEnterFullscreen;
    this.#picture.addEventListener("loadeddata", () => byId("stage").classList.add("seen"));
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("fullscreenchange", () => this.#screenChanged());
    document.addEventListener("visibilitychange", () => this.#stayAwake());
    for (const move of ["pointermove", "pointerdown", "keydown", "focusin"]) {
      document.addEventListener(move, () => this.#moved(), {passive: true});
    }
    media.addEventListener("changed", () => this.#mediaChanged());
    media.addEventListener("problem", ({detail}) => this.#call && warn(sentence(detail)));
  }

  /** Enter the room with a call that is about to start. */
  open(call, {room}) {
    this.#call = call;
    this.#people.clear();
    this.#door.clear();
    this.#host.open(call);
    this.#chat.open(call);
    this.#calls.open(call);
    this.#mutedByHost = false;
    this.#title(`Room ${room}`);
    this.#link("joining");
    byId("stage").classList.remove("seen");
    call.addEventListener("state", ({detail}) => this.#link(detail));
    call.addEventListener("joined", ({detail}) => {
      this.#you = detail.participant;
      this.#title(detail.room.name);
    });
    call.addEventListener("room", ({detail}) => this.#roomChanged(detail));
    call.addEventListener("speaker", ({detail}) => this.#people.speaker(detail.participant));
    call.addEventListener("presenter", ({detail}) => this.#people.presenter(detail.participant));
    call.addEventListener("spotlight", ({detail}) => this.#people.spotlight(detail.participant));
    call.addEventListener("door", ({detail}) => this.#door.show(detail));
    call.addEventListener("undecided", ({detail}) => warn(sentence(detail.reason)));
    call.addEventListener("notice", ({detail}) => this.#noticed(detail));
    call.addEventListener("stream", ({detail}) => this.#receive(detail));
    const small = matchMedia("(max-width: 899px) and (orientation: landscape), (max-height: 500px)").matches;
    this.#showSide(small ? "" : "people");
    this.#drawOwn();
  }

  /** Show the room, once it is reached. */
  show() {
    if (!byId("room").hidden) return;
    showView("room");
    byId("room-title").focus({preventScroll: true});
    this.#stayAwake();
    this.#drawOwn();
  }

  /** Leave the page. */
  close() {
    this.#call = null;
    byId("spoken").textContent = "";
    this.#settings.close();
    this.#chat.close();
    this.#calls.close();
    this.#door.clear();
    this.#picture.srcObject = null;
    byId("self-video").srcObject = null;
    byId("hear").hidden = byId("banner").hidden = true;
    if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
    this.#stayAwake();
  }

  // What the gateway tells

  #roomChanged(message) {
    this.#title(message.room.name);
    byId("room-locked").hidden = !message.room.locked;
    this.#people.show(message);
    const own = message.participants.find((one) => one.id === message.you);
    this.#host.show(own?.rank === "host");
    this.#calls.host(own?.rank === "host");
    const byHost = Boolean(own?.muted_by_host);
    if (byHost && !this.#mutedByHost) warn("A host muted you. The others do not hear you until the host lifts it.");
    if (!byHost && this.#mutedByHost && this.#media.heard) notice("The others can hear you again.");
    this.#mutedByHost = byHost;
    this.#drawOwn();
  }

  #noticed({kind, participant, name, reason}) {
    if (participant === this.#you) return; // our own arrival is told to us too
    if (kind === "joined") notice(`${name} joined`);
    else notice(reason && reason !== "normal" ? `${name} left: ${explainShort(reason)}` : `${name} left`);
  }

  #title(name) {
    byId("room-title").textContent = name;
    document.title = `${name} – Roombridge`;
  }

  #link(state) {
    const text = LINKS[state];
    if (!text) return;
    byId("room-link").dataset.state = state;
    byId("room-link-text").textContent = text;
    const broken = state === "reconnecting";
    if (state === "connected" && !byId("banner").hidden) notice("Connected again");
    byId("spoken").textContent = broken ? "Connection lost. Reconnecting…" : "";
    byId("people").classList.toggle("stale", broken);
    byId("banner-text").textContent = broken ? "Reconnecting…" : "";
    byId("banner").hidden = !broken;
  }

  // Picture and sound

  #receive(stream) {
    this.#picture.srcObject = stream;
    if (stream) this.#play();
    else byId("stage").classList.remove("seen");
  }

  async #play() {
    const hear = byId("hear");
    this.#picture.muted = false;
    try {
      await this.#picture.play();
      hear.hidden = true;
    } catch (error) {
      if (error.name !== "NotAllowedError") return;  // a newer stream took its place
      // Without a gesture only a silent picture may play: show that, and ask for the gesture.
      this.#picture.muted = true;
      hear.hidden = false;
      await this.#picture.play().catch(() => {});
    }
  }

  // Our own side

  #microphone() {
    const muting = this.#media.heard;
    this.#media.mute(muting);
  }

  #camera() {
    this.#media.camera(!this.#media.seen);
  }

  #mediaChanged() {
    if (!this.#call) return;
    const {tracks, heard, seen} = this.#media;
    this.#call.replace("audio", tracks.microphone);
    this.#call.replace("video", tracks.camera);
    this.#call.mute({audio: !heard, video: !seen});
    this.#drawOwn();
  }

  #drawOwn() {
    const {tracks, heard, seen} = this.#media;
    const microphone = byId("microphone-button");
    const camera = byId("camera-button");
    dress(microphone, heard ? "microphone" : "microphone-off", heard ? "Mute" : "Unmute", `${heard ? "Mute" : "Unmute"} (M)`);
    dress(camera, seen ? "camera" : "camera-off", seen ? "Stop camera" : "Start camera", `${seen ? "Stop" : "Start"} camera (V)`);
    microphone.classList.toggle("off", !heard);
    microphone.classList.toggle("by-host", this.#mutedByHost);
    camera.classList.toggle("off", !seen);
    byId("self").hidden = !seen;
    byId("room").classList.toggle("with-self", seen);
    const video = byId("self-video");
    if (video.srcObject?.getVideoTracks()[0] !== tracks.camera) {
      video.srcObject = tracks.camera ? new MediaStream([tracks.camera]) : null;
    }
  }

  // The page

  /** Show one of the side panels ("people", "chat"), or none (""). */
  #showSide(name) {
    for (const id of ["people", "chat"]) {
      byId(id).hidden = id !== name;
      byId(`${id}-button`).setAttribute("aria-expanded", String(id === name));
    }
    byId("room").classList.toggle("with-people", name !== "");
    byId("room").classList.toggle("with-chat", name === "chat");
    if (name === "chat") this.#chat.shown();
  }

  async #screen() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (document.fullscreenEnabled) await document.documentElement.requestFullscreen();
      else this.#picture.webkitEnterFullscreen();
    } catch (error) {
      console.info("full screen:", error.message);
    }
  }

  #screenChanged() {
    const full = Boolean(document.fullscreenElement);
    byId("room").classList.toggle("full", full);
    const text = full ? "Leave full screen" : "Full screen";
    dress(byId("screen-button"), full ? "small" : "full", text, `${text} (F)`);
    this.#moved();
  }

  #moved() {
    const room = byId("room");
    clearTimeout(this.#idle);
    room.classList.remove("idle");
    if (room.classList.contains("full")) this.#idle = setTimeout(() => room.classList.add("idle"), IDLE_TIME);
  }

  #key(event) {
    if (!this.#call || byId("room").hidden) return;
    if (event.key === "Escape" && byId("chat").contains(event.target) && !event.isComposing) {
      this.#showSide("");
      byId("chat-button").focus();
      return;
    }
    if (!shortcutsOn()) return;
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.querySelector("dialog[open]") || event.target.closest?.("input, select, textarea")) return;
    const button = {m: "microphone-button", v: "camera-button", c: "chat-button", f: "screen-button"}[event.key.toLowerCase()];
    if (!button || byId(button).hidden) return;
    event.preventDefault();
    byId(button).click();
  }

  /** Keep the screen of a phone on while in the room. */
  async #stayAwake() {
    if (!this.#call || document.hidden) {
      this.#wake?.release();
      this.#wake = null;
      return;
    }
    try {
      this.#wake ??= await navigator.wakeLock?.request("screen");
      this.#wake?.addEventListener("release", () => (this.#wake = null));
    } catch {
      // A low battery: the screen goes off as it always does.
    }
  }
}

function explainShort(reason) {
  const known = {"transport-failed": "connection lost", "no-media": "connection lost", "ice-failed": "connection lost",
    "timeout": "connection lost", "hung-up-by-host": "removed by a host", "moved": "moved to another room",
    "transferred": "transferred", "time-limit": "its time was over"};
  return known[reason] ?? explain(reason).title.toLowerCase();
}
