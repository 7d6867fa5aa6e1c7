/** The join page: which room, as whom, with which camera and microphone; with a preview and a level. */

import {fill} from "./devices.js";
import {explain, sentence} from "./messages.js";
import {Meter} from "./meter.js";
import {byId, dress, showView} from "./page.js";
import {recall, remember} from "./preferences.js";

/** Refusals that one field is the answer to. */
const FIELD_OF = {"no-such-room": "room", "pin-needed": "pin", "wrong-pin": "pin"};

export class JoinPage {
  #media;
  #onjoin;
  #meter = new Meter(byId("level"));
  #form = byId("join-form");
  #busy = false;

  /** media: an OwnMedia. onjoin({room, name, pin}) is called when somebody wants in. */
  constructor(media, onjoin) {
    this.#media = media;
    this.#onjoin = onjoin;
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    byId("preview-microphone").addEventListener("click", () => media.mute(media.heard));
    byId("preview-camera").addEventListener("click", () => media.camera(!media.seen));
    for (const kind of ["camera", "microphone"]) {
      byId(`${kind}-field`).addEventListener("change", (event) => media.choose(kind, event.target.value));
    }
    byId("pin-show").addEventListener("click", () => {
      this.#askPin();
      this.#form.elements.pin.focus();
    });
    media.addEventListener("changed", () => this.#show());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#show());
  }

  get visible() {
    return !byId("join").hidden;
  }

  /** Show the page for a room ("" to be asked for) and start the preview. */
  async open(room, name) {
    this.#form.elements.room.value = room;
    this.#form.elements.name.value = name || recall("name") || "";
    byId("join-title").textContent = room ? `Join room ${room}` : "Join a meeting";
    document.title = room ? `Join room ${room} – Roombridge` : "Roombridge";
    this.#complain("");
    this.waiting("");
    showView("join");
    this.#focus();
    byId("preview-note").textContent = "Asking for camera and microphone…";
    await this.#media.start();
  }

  /** Join with what the fields say, as if the button had been pressed. */
  join() {
    this.#form.requestSubmit();
  }

  /** Say why the room was not reached. */
  refuse(reason) {
    showView("join");
    this.waiting("");
    this.#show();
    if (reason === "pin-needed" || reason === "wrong-pin") this.#askPin();
    if (reason === "no-such-room") byId("join-title").textContent = "Join a meeting";
    const field = FIELD_OF[reason];
    if (field) this.#point(field, sentence(reason));
    else this.#complain(reason);
    if (reason === "wrong-pin") this.#form.elements.pin.select();
  }

  /** Say what is waited for; "" for nothing. */
  waiting(text) {
    this.#busy = Boolean(text);
    byId("join-status").textContent = text;
    byId("join-button").setAttribute("aria-disabled", String(this.#busy));
    byId("join-button").textContent = this.#busy ? "Joining…" : "Join";
  }

  /** Show camera and level beside what stands in place of the form. */
  preview() {
    showView("join");
    this.#show();
  }

  /** Stop the level; the room has a view of its own. */
  leave() {
    this.#meter.stop();
    byId("preview-video").srcObject = null;
  }

  #submit(event) {
    event.preventDefault();
    if (this.#busy) return;
    const {room, name, pin} = this.#form.elements;
    this.#complain("");
    for (const field of ["room", "name", "pin"]) this.#point(field, "");
    if (!room.value.trim()) return this.#point("room", "Enter the room's number or name.");
    if (!name.value.trim()) return this.#point("name", "Enter a name, so that the others know who you are.");
    remember("name", name.value.trim());
    this.#onjoin({room: room.value.trim(), name: name.value.trim(), pin: pin.value || null});
  }

  #askPin() {
    byId("pin-row").hidden = false;
    byId("pin-show").hidden = true;
  }

  /** Put a problem beside its field and the focus into it; "" takes it away. */
  #point(field, text) {
    const input = this.#form.elements[field];
    byId(`${field}-problem`).textContent = text;
    input.setAttribute("aria-invalid", String(Boolean(text)));
    if (text) input.focus();
  }

  #complain(reason) {
    const place = byId("join-problem");
    place.replaceChildren();
    if (!reason) return;
    const {title, text} = explain(reason);
    const strong = document.createElement("strong");
    strong.textContent = title;
    place.append(strong, ` ${text}`);
  }

  #focus() {
    const {room, name} = this.#form.elements;
    if (matchMedia("(pointer: coarse)").matches) return;  // it would open the keyboard over the preview
    if (!room.value) room.focus();
    else if (!name.value) name.focus();
    else byId("join-button").focus();
  }

  #show() {
    if (!this.visible) return;
    const {tracks, problems, choices, heard, seen} = this.#media;
    const video = byId("preview-video");
    if (video.srcObject?.getVideoTracks()[0] !== tracks.camera) {
      video.srcObject = tracks.camera ? new MediaStream([tracks.camera]) : null;
      if (tracks.camera) video.play().catch(() => {});
    }
    video.hidden = !seen;
    byId("preview-note").textContent = seen ? "" : problems.camera ? explain(problems.camera).title : "Camera is off";
    dress(byId("preview-camera"), seen ? "camera" : "camera-off", seen ? "Stop camera" : "Start camera");
    dress(byId("preview-microphone"), heard ? "microphone" : "microphone-off", heard ? "Mute" : "Unmute");
    byId("preview-camera").classList.toggle("off", !seen);
    byId("preview-microphone").classList.toggle("off", !heard);
    this.#meter.show(heard ? tracks.microphone : null);
    byId("level-note").textContent = levelNote(this.#media);
    for (const kind of ["camera", "microphone"]) {
      byId(`${kind}-problem`).textContent = problems[kind] ? sentence(problems[kind]) : "";
      fill(byId(`${kind}-field`), kind, tracks[kind] ? choices[kind] : "", tracks[kind]);
    }
  }
}

function levelNote({tracks, muted}) {
  if (!tracks.microphone) return "Without a microphone the others will not hear you.";
  if (muted) return "You are muted, and will join so.";
  return "Say something: the bar moves when your microphone hears you.";
}
