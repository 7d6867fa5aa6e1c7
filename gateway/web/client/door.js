/** The door of the room: who waits outside, for those who may let them in. */

import {byId, element, icon} from "./page.js";

const STAGES = {lobby: "waits for the host", knocking: "is knocking"};
const PROTOCOLS = {webrtc: "Browser", sip: "SIP", h323: "H.323"};

export class Door {
  #list = byId("door-list");
  #rows = new Map();
  #decide;

  /** decide(id, admitted) is called when somebody is let in or turned away. */
  constructor(decide) {
    this.#decide = decide;
    byId("door-all").addEventListener("click", () => {
      for (const id of this.#rows.keys()) this.#press(id, true);
    });
  }

  /** Show the gateway's "door" message. Rows stay the same elements, so that no button moves away under a finger. */
  show({waiting}) {
    const gone = new Set(this.#rows.keys());
    const fresh = [];
    for (const one of waiting) {
      gone.delete(one.id);
      if (this.#rows.has(one.id)) continue;
      this.#rows.set(one.id, this.#makeRow(one));
      fresh.push(one);
    }
    const focused = [...gone].some((id) => this.#rows.get(id).contains(document.activeElement));
    for (const id of gone) {
      this.#rows.get(id).remove();
      this.#rows.delete(id);
    }
    for (const {id, stage} of waiting) {
      const row = this.#rows.get(id);
      row.querySelector(".door-stage").textContent = STAGES[stage] ?? STAGES.lobby;
      if (!row.isConnected) this.#list.append(row);
    }
    const count = waiting.length;
    byId("door").hidden = count === 0;
    byId("door-count").textContent = String(count);
    byId("door-all").hidden = count < 2;
    byId("door").classList.toggle("many", count > 1);
    if (fresh.length) byId("door-spoken").textContent = fresh.map(({name, stage}) => `${name} ${STAGES[stage]}`).join(", ");
    if (focused) (this.#list.querySelector("button") ?? byId("room-title")).focus({preventScroll: true});
  }

  /** Forget everybody. */
  clear() {
    this.show({waiting: []});
    byId("door-spoken").textContent = "";
  }

  #press(id, admitted) {
    const row = this.#rows.get(id);
    if (row.classList.contains("decided")) return;
    row.classList.add("decided"); // the gateway takes it off the list
    setTimeout(() => row.classList.remove("decided"), 3000); // or it did not, as where the room is full
    this.#decide(id, admitted);
  }

  #makeRow({id, name, protocol}) {
    const row = element("li", "door-row");
    const text = element("span", "door-text");
    const line = element("span", "door-line");
    line.append(icon(protocol), element("span", "door-stage"));
    line.title = PROTOCOLS[protocol] ?? protocol;
    text.append(element("span", "door-name", name), line);
    const admit = element("button", "main", "Admit");
    const refuse = element("button", "quiet", "Refuse");
    for (const [button, admitted] of [[admit, true], [refuse, false]]) {
      button.type = "button";
      button.append(element("span", "only-read", ` ${name}`));
      button.addEventListener("click", () => this.#press(id, admitted));
    }
    row.append(text, refuse, admit);
    return row;
  }
}
