/**
 * The chat of the room: what everybody writes, and a field to write in.
 *
 * All text comes from strangers: it is only ever put into text nodes.
 */

import {explain} from "./messages.js";
import {byId, element, notice} from "./page.js";

/** Messages that are shown at most; the oldest go. */
const MAX_SHOWN = 500;
/** Milliseconds within which messages of one author stand under one name. */
const TOGETHER = 120_000;
/** Characters of a message in the notice that tells of it. */
const NOTICE_LENGTH = 80;
/** Pixels from the end within which the list follows new messages. */
const NEAR_END = 40;

const clock = new Intl.DateTimeFormat(undefined, {hour: "2-digit", minute: "2-digit"});
const day = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "short"});

export class Chat {
  #panel = byId("chat");
  #list = byId("chat-list");
  #field = byId("chat-field");
  #button = byId("chat-button");
  #call = null;
  #you = "";
  #unread = 0;
  #known = new Set();
  #last = null;
  /** What was sent and not seen yet: it goes back into the field if it is refused. */
  #sent = [];

  constructor() {
    byId("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    this.#field.addEventListener("input", () => this.#written());
  }

  /** Begin with a call that is about to start. */
  open(call) {
    this.#call = call;
    this.#known.clear();
    this.#last = null;
    this.#sent = [];
    this.#list.replaceChildren();
    this.#field.value = "";
    this.#written();
    this.#count(0);
    byId("chat-empty").hidden = false;
    call.addEventListener("joined", ({detail}) => (this.#you = detail.participant));
    call.addEventListener("chat", ({detail}) => this.#take(detail));
    call.addEventListener("unsaid", ({detail}) => this.#unsaid(detail));
  }

  /** Forget the call. */
  close() {
    this.#call = null;
  }

  /** Note that the panel was shown: everything is read, and writing can begin. */
  shown() {
    this.#count(0);
    this.#toEnd();
    this.#field.focus({preventScroll: true});
  }

  #take({messages, history = false}) {
    const follow = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < NEAR_END;
    let own = false;
    for (const message of messages) {
      const key = `${message.number} ${message.at}`; // after a break the history comes again
      if (this.#known.has(key)) continue;
      this.#known.add(key);
      own = message.participant === this.#you;
      if (own) this.#sent.shift();
      this.#show(message, own);
      if (this.#panel.hidden && !own) {
        this.#count(this.#unread + 1);
        if (!history) notice(`${message.name}: ${shortened(message.text)}`);
      }
    }
    while (this.#list.children.length > MAX_SHOWN) this.#list.firstElementChild.remove();
    byId("chat-empty").hidden = this.#list.children.length > 0;
    if (follow || own) this.#toEnd();
  }

  #show({participant, name, text, at}, own) {
    const when = new Date(at);
    const made = element("article", own ? "message own" : "message");
    const author = `${participant} ${name}`;
    const together = this.#last && this.#last.author === author && when - this.#last.when < TOGETHER;
    this.#last = {author, when};
    const head = element("p", together ? "message-head only-read" : "message-head");
    const time = element("time", "message-time", clock.format(when));
    time.dateTime = at;
    time.title = day.format(when);
    head.append(element("span", "message-name", own ? `${name} (you)` : name), " ", time);
    const body = element("p", "message-text");
    body.append(...linked(text));
    made.append(head, body);
    made.classList.toggle("together", Boolean(together));
    this.#list.append(made);
  }

  #send() {
    const text = this.#field.value.trim();
    if (!text || !this.#call) return;
    if (this.#call.state === "reconnecting") return this.#problem("Not connected: wait until the room is there again.");
    this.#sent.push(text);
    this.#call.say(text);
    this.#field.value = "";
    this.#written();
  }

  #unsaid({reason}) {
    const text = this.#sent.shift();
    if (text && !this.#field.value) this.#field.value = text;
    this.#written();
    const words = {
      "overload": "Too many messages: wait a moment.", "message-too-large": "The message is too long.",
      "bad-request": "The message could not be sent.",
    };
    this.#problem(words[reason] ?? `${explain(reason).title}.`);
  }

  /** The field grows with what is written, up to a bound of the style sheet. */
  #written() {
    this.#problem("");
    this.#field.style.height = "auto";
    if (this.#field.scrollHeight) this.#field.style.height = `${this.#field.scrollHeight + 2}px`;
  }

  #problem(text) {
    byId("chat-problem").textContent = text;
  }

  #count(unread) {
    this.#unread = unread;
    const mark = byId("chat-unread");
    mark.hidden = !unread;
    mark.textContent = unread > 99 ? "99+" : String(unread);
    this.#button.setAttribute("aria-label", unread ? `Chat, ${unread} unread` : "Chat");
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}

function shortened(text) {
  const line = text.replace(/\s+/g, " ");
  const letters = [...line];
  return letters.length > NOTICE_LENGTH ? `${letters.slice(0, NOTICE_LENGTH).join("")}…` : line;
}

/** Return nodes of a text, with its web addresses as links; nothing but http and https becomes one. */
function linked(text) {
  const parts = text.split(/(\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]}])/);
  return parts.map((part, index) => {
    if (index % 2 === 0) return document.createTextNode(part);
    const link = element("a", "", part);
    link.href = part;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    return link;
  });
}
