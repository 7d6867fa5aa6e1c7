/** The list of who is in the room: name, how they are connected, who talks, who presents, who stands out, who is muted. */

import {byId, element, icon} from "./page.js";

const PROTOCOLS = {webrtc: "Browser", sip: "SIP", h323: "H.323"};

export class People {
  #list = byId("people-list");
  #rows = new Map();
  #you = null;
  #speaker = null;
  #presenter = null;
  #lit = null;
  #wants;

  /** wants: what hosts do. send(participant): elsewhere; light(id): have everybody see it large, null: nobody. */
  constructor(wants) {
    this.#wants = wants;
  }

  /** Show the gateway's "room" message. Rows stay the same elements, so that nothing flickers or loses the focus. */
  show({participants, you}) {
    this.#you = you;
    const left = new Set(this.#rows.keys());
    const host = participants.some((one) => one.id === you && one.rank === "host");
    for (const one of participants) {
      left.delete(one.id);
      if (!this.#rows.has(one.id)) this.#rows.set(one.id, this.#made(one));
      this.#update(this.#rows.get(one.id), one, host);
    }
    for (const id of left) {
      this.#rows.get(id).item.remove();
      this.#rows.delete(id);
    }
    // Appending moves what is there already; the browser does nothing where the order is the same.
    participants.forEach(({id}, index) => {
      const {item} = this.#rows.get(id);
      if (this.#list.children[index] !== item) this.#list.insertBefore(item, this.#list.children[index] ?? null);
    });
    const count = participants.length;
    byId("people-count").textContent = String(count);
    byId("people-button").querySelector(".caption").textContent = `People (${count})`;
    this.speaker(this.#speaker);
    this.presenter(this.#presenter);
    this.spotlight(this.#lit);
  }

  /** Mark the active speaker; null for nobody. */
  speaker(id) {
    this.#speaker = id;
    for (const [each, {item}] of this.#rows) item.classList.toggle("speaker", each === id);
  }

  /** Mark whose slides the room sees; null for nobody's. */
  presenter(id) {
    this.#presenter = id;
    for (const [each, {presents}] of this.#rows) presents.hidden = each !== id;
  }

  /** Mark whom everybody sees large, whoever speaks; null for nobody. */
  spotlight(id) {
    this.#lit = id;
    for (const [each, {lit, light}] of this.#rows) {
      lit.hidden = each !== id || !light.hidden; // for hosts the button says it
      light.setAttribute("aria-pressed", String(each === id));
      light.title = each === id ? "As before: who speaks is large" : "Show large for everybody";
    }
  }

  /** Forget everybody. */
  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#speaker = null;
    this.#presenter = null;
    this.#lit = null;
  }

  #made(one) {
    const row = makeRow(one);
    row.send.addEventListener("click", () => this.#wants.send({id: one.id, name: row.send.dataset.name}));
    row.light.addEventListener("click", () => this.#wants.light(this.#lit === one.id ? null : one.id));
    return row;
  }

  #update(row, one, host) {
    const own = one.id === this.#you;
    row.send.hidden = !host || own || one.protocol === "webrtc";
    row.send.dataset.name = one.name;
    row.light.hidden = !host;
    row.light.querySelector("span").textContent = `Show ${one.name} large for everybody`;
    row.send.querySelector("span").textContent = `Send ${one.name} elsewhere`;
    row.item.classList.toggle("talking", one.talking);
    row.avatar.textContent = initials(one.name);
    row.avatar.style.setProperty("--hue", String(hue(one.name)));
    row.name.textContent = one.name + (own ? " (you)" : "");
    row.protocol.querySelector("use").setAttribute("href", `/static/icons.svg#${one.protocol}`);
    row.how.textContent = (PROTOCOLS[one.protocol] ?? one.protocol) + (one.rank === "host" ? " · Host" : "");
    row.talking.hidden = !one.talking;
    row.muted.hidden = !one.muted;
    row.camera.hidden = !one.camera_off;
  }
}

function makeRow() {
  const item = element("li", "person");
  const avatar = element("span", "avatar");
  avatar.setAttribute("aria-hidden", "true");
  const text = element("span", "person-text");
  const name = element("span", "person-name");
  const line = element("span", "person-line");
  const protocol = icon("webrtc");
  const how = element("span", "person-how");
  line.append(protocol, how);
  text.append(name, line);
  const presents = mark("slides", "presents");
  presents.hidden = true;
  const lit = mark("spotlight", "seen large by everybody");
  const talking = mark("talking", "talking");
  const muted = mark("microphone-off", "muted");
  const camera = mark("camera-off", "camera off");
  const marks = element("span", "marks");
  marks.append(lit, presents, talking, camera, muted);
  const light = element("button", "small-round");
  light.type = "button";
  light.hidden = true;
  light.append(icon("spotlight"), element("span", "only-read"));
  const send = element("button", "small-round");
  send.type = "button";
  send.title = "Send elsewhere";
  send.hidden = true;
  send.append(icon("forward"), element("span", "only-read"));
  item.append(avatar, text, marks, light, send);
  return {item, light, send, avatar, name, protocol, how, lit, presents, talking, muted, camera};
}

function mark(name, text) {
  const made = element("span", `mark ${name}`);
  made.title = text[0].toUpperCase() + text.slice(1);
  made.append(icon(name), element("span", "only-read", text));
  made.hidden = true;
  return made;
}

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0]).join("").toUpperCase() || "?";
}

/** The same colour for the same name everywhere. */
function hue(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 360;
  return sum;
}
