/** What a host does with calls: who is being called into the room, calling somebody, sending a participant elsewhere. */

import {explain} from "./messages.js";
import {byId, element, icon, notice, warn} from "./page.js";

const STATES = {dialling: "Calling…", ringing: "Ringing…", waiting: "Waiting for another try"};
/** Why a try failed, in a few words; what is not here is said as everywhere. */
const REASONS = {
  busy: "busy", declined: "declined", "no-answer": "no answer", "no-such-user": "there is no such address",
  "not-allowed": "not allowed", unreachable: "not reached", timeout: "no answer", overload: "too many calls",
  cancelled: "given up", unsupported: "not possible", "bad-request": "no address that can be called",
  "no-such-room": "there is no such room", "room-full": "that room is full",
};
/** Said before the reason when something was not done, by the type of what was asked for. */
const UNDONE = {
  call: "The call was not made", cancel: "The call was not given up", move: "Nobody was moved",
  transfer: "The participant was not sent there", spotlight: "Nobody was put in the spotlight",
};

/** What somebody types as an address: a bare name is an account of ours. */
export const address = (text) => (/^(sips?|tel|h323|user):/i.test(text) ? text : /^[\w.+~-]+$/.test(text) ? `user:${text}` : "");

export class Calls {
  #call = null;
  #whom = null;
  #rows = new Map();

  constructor() {
    byId("calling-button").addEventListener("click", () => this.#open("dial"));
    byId("dial-form").addEventListener("submit", (event) => this.#dial(event));
    byId("send-form").addEventListener("submit", (event) => this.#send(event));
    for (const id of ["dial", "send"]) {
      const dialog = byId(id);
      dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
  }

  /** Begin with a call that is about to start. */
  open(call) {
    this.#call = call;
    this.show([]);
    this.host(false);
    call.addEventListener("dialled", ({detail}) => this.show(detail.dialled));
    call.addEventListener("call-failed", ({detail}) => warn(`${nameOf(detail)}: ${shortly(detail.reason)}`));
    call.addEventListener("undone", ({detail}) => warn(`${UNDONE[detail.what] ?? "That was not done"}: ${shortly(detail.reason)}`));
  }

  /** Leave the page. */
  close() {
    this.#call = null;
    for (const id of ["dial", "send"]) byId(id).close();
  }

  /** Show or hide what is for hosts alone. */
  host(is) {
    byId("calling").hidden = !is;
    if (!is) for (const id of ["dial", "send"]) byId(id).close();
  }

  /** Show who is being called. Rows stay the same elements, so that a button keeps the focus. */
  show(dialled) {
    const gone = new Set(this.#rows.keys());
    for (const one of dialled) {
      gone.delete(one.id);
      if (!this.#rows.has(one.id)) this.#add(one);
      const again = one.number > 1 ? `, try ${one.number}` : "";
      const why = one.state === "waiting" ? ` (${shortly(one.reason)})` : again;
      this.#rows.get(one.id).state.textContent = (STATES[one.state] ?? one.state) + why;
    }
    for (const id of gone) {
      this.#rows.get(id).item.remove();
      this.#rows.delete(id);
    }
  }

  /** Ask where a participant is to go. */
  send(one) {
    this.#whom = one;
    byId("send-title").textContent = `Send ${one.name} elsewhere`;
    this.#open("send");
  }

  #add(one) {
    const item = element("li", "person being-called");
    const mark = element("span", "avatar");
    mark.append(icon("sip"));
    const text = element("span", "person-text");
    const name = element("span", "person-name", nameOf(one));
    const state = element("span", "person-line");
    text.append(name, state);
    const cancel = element("button", "small-round");
    cancel.type = "button";
    cancel.title = "Give up this call";
    cancel.append(icon("close"), element("span", "only-read", `Give up calling ${nameOf(one)}`));
    cancel.addEventListener("click", () => this.#call?.wish({type: "cancel", id: one.id}));
    item.append(mark, text, cancel);
    byId("calling-list").append(item);
    this.#rows.set(one.id, {item, state});
  }

  #open(id) {
    byId(`${id}-problem`).textContent = "";
    byId(`${id}-form`).reset();
    byId(id).showModal();
    byId(`${id}-target`).focus();
  }

  #dial(event) {
    event.preventDefault();
    const target = address(byId("dial-target").value.trim());
    if (!target) return this.#wrong("dial");
    this.#call?.wish({type: "call", target, name: byId("dial-name").value.trim()});
    byId("dial").close();
  }

  #send(event) {
    event.preventDefault();
    const typed = byId("send-target").value.trim();
    const participant = this.#whom?.id;
    if (/^[\w.-]{1,64}$/.test(typed)) this.#call?.wish({type: "move", participant, room: typed});
    else if (address(typed)) this.#call?.wish({type: "transfer", participant, target: address(typed)});
    else return this.#wrong("send");
    byId("send").close();
    notice(`${this.#whom?.name} is being sent to ${typed}`);
  }

  #wrong(id) {
    byId(`${id}-problem`).textContent = "This is no address that can be called.";
    byId(`${id}-target`).focus();
  }
}

function nameOf({name, target}) {
  return name || target.replace(/^user:/, "");
}

function shortly(reason) {
  return REASONS[reason] ?? explain(reason).title.toLowerCase();
}
