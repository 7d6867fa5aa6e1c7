/**
 * One meeting from joining to leaving, across broken networks.
 *
 * Theory of operation. An attempt is one WebSocket with one peer connection. The first attempt joins; when its socket
 * or its media break, the next one joins again with the resume token, so that the gateway takes it for the same
 * participant. The picture of the broken attempt stays until that of the new one is there: media often go on when only
 * the socket is gone.
 *
 *     joining --joined, media flow--> connected --socket or media broke--> reconnecting --joined, media--> connected
 *        `--refused--> ended               `--leave, told to go--> ended        `--refused, too late--> ended
 *
 * The gateway may let an attempt wait before it is joined, for a host or for somebody who lets it in.
 *
 * Events: "state" (detail: the state), "room" (detail: the gateway's message), "speaker", "presenter", "spotlight", "notice", "chat",
 * "unsaid", "waiting", "unpromoted", "door", "undecided", "dialled", "call-failed", "undone", "stream" (detail:
 * MediaStream, or null when it broke), "ended" (detail: {reason, entered}; entered says whether the room was ever reached).
 */

import {Peer} from "./peer.js";
import {Signalling} from "./signalling.js";

/** Milliseconds before each further try; a gateway that restarts is back within some seconds. */
const BACK_OFF = [200, 1000, 2000, 3000, 5000, 8000];
/** Milliseconds of trying to come back before giving up. */
const PATIENCE = 90_000;
/** Milliseconds from the offer to flowing media. */
const MEDIA_TIME = 12_000;
/** Milliseconds that media may be interrupted before the connection counts as broken: ICE often heals itself. */
const HEAL_TIME = 5000;
/** Further tries after one without media, before it is said that no path exists. */
const MAX_MEDIA_TRIES = 1;

/** Ends that a further try may cure. */
const PASSING = new Set([
  "shutdown", "transport-failed", "ice-failed", "dtls-failed", "timeout", "internal", "overload", "no-ports",
  "no-media", "server-gone",
]);

export class Call extends EventTarget {
  state = "joining";
  #who;
  #tracks;
  #muted;
  #attempt = null;
  #flowing = null;
  #resume = null;
  #entered = false;
  #waits = false;
  #tries = 0;
  #mediaTries = 0;
  #brokenSince = 0;
  #timer = 0;

  /** who: {room, name, pin}; tracks: {audio, video}, each a MediaStreamTrack or null; muted: {audio, video}. */
  constructor(who, tracks, muted) {
    super();
    this.#who = who;
    this.#tracks = {...tracks};
    this.#muted = {...muted};
  }

  /** Join. */
  start() {
    addEventListener("online", this.retry);
    this.#begin();
  }

  /** Tell the others that we are muted or not; what is left out stays as it is. */
  mute({audio = this.#muted.audio, video = this.#muted.video}) {
    this.#muted = {audio, video};
    this.#attempt?.socket.send({type: "mute", audio, video});
  }

  /** Write a message to everybody; it comes back as "chat", or "unsaid" tells why it does not. */
  say(text) {
    this.#attempt?.socket.send({type: "say", text});
  }

  /** Have something done that is for hosts: a message as the gateway reads it; "undone" tells why it was not. */
  wish(message) {
    this.#attempt?.socket.send(message);
  }

  /** Prove by the host PIN that we are a host; "unpromoted" tells why we are not. */
  promote(pin) {
    this.#attempt?.socket.send({type: "promote", pin});
  }

  /** Let somebody in who waits, or turn it away; "door" tells that it waits no more, "undecided" why it still does. */
  decide(participant, admitted) {
    this.#attempt?.socket.send({type: admitted ? "admit" : "refuse", participant});
  }

  /** Send another track of this kind ("audio" or "video"), or null for none. */
  async replace(kind, track) {
    this.#tracks[kind] = track;
    for (const attempt of new Set([this.#attempt, this.#flowing])) await attempt?.peer?.replace(kind, track);
  }

  /** Leave. */
  leave() {
    this.#attempt?.socket.send({type: "leave"});
    this.#end("left");
  }

  /** Try at once and do not wait for the next time. */
  retry = () => {
    if (this.state === "reconnecting" && !this.#attempt) this.#begin();
  };

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }

  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.#emit("state", state);
  }

  #begin() {
    clearTimeout(this.#timer);
    const attempt = {peer: null, timer: 0, joined: false};
    attempt.socket = new Signalling({
      onopen: () => attempt.socket.send({type: "join", ...this.#who, resume: this.#resume}),
      onmessage: (message) => this.#take(attempt, message),
      onclose: () => this.#failed(attempt, "server-gone"),
    });
    this.#attempt = attempt;
  }

  #take(attempt, message) {
    if (attempt !== this.#attempt) return;
    switch (message.type) {
      case "joined":
        this.#joined(attempt, message);
        break;
      case "waiting":
        this.#waits = true;
        this.#tries = 0;
        this.#brokenSince = 0;
        this.#emit("waiting", message);
        break;
      case "unpromoted":
      case "door":
      case "undecided":
      case "room":
      case "speaker":
      case "presenter":
      case "spotlight":
      case "notice":
      case "chat":
      case "unsaid":
      case "dialled":
      case "call-failed":
      case "undone":
        this.#emit(message.type, message);
        break;
      case "ended":
        this.#failed(attempt, message.reason);
        break;
      case "error":
        this.#refused(attempt, message);
        break;
      default:
        attempt.peer?.take(message);
    }
  }

  #refused(attempt, message) {
    // A first offer that is refused ends the attempt; one candidate or a later offer less does not.
    const small = message.reason === "glare" || message.reason === "bad-request" || attempt === this.#flowing;
    if (!attempt.joined || message.fatal || !small) return this.#failed(attempt, message.reason);
    if (message.reason !== "glare") console.info("the gateway refused:", message.reason, message.message);
    attempt.peer.take(message);
  }

  #joined(attempt, message) {
    attempt.joined = true;
    this.#entered = true;
    this.#resume = message.resume;
    this.#emit("joined", message);
    attempt.socket.send({type: "mute", ...this.#muted});
    const handlers = {
      send: (said) => attempt.socket.send(said),
      onstate: (state) => this.#media(attempt, state),
      onfailure: (error) => {
        console.error("negotiation failed:", error);
        this.#failed(attempt, "ice-failed");
      },
    };
    attempt.peer = new Peer(handlers, this.#tracks.audio, this.#tracks.video);
    attempt.timer = setTimeout(() => this.#failed(attempt, "ice-failed"), MEDIA_TIME);
    attempt.peer.offer();
  }

  #media(attempt, state) {
    if (attempt !== this.#attempt) return;
    if (state === "connected") {
      clearTimeout(attempt.timer);
      this.#flow(attempt);
    } else if (state === "disconnected") {
      clearTimeout(attempt.timer);
      attempt.timer = setTimeout(() => this.#failed(attempt, "ice-failed"), HEAL_TIME);
      this.#emit("state", "unsteady");
    } else if (state === "failed") {
      this.#failed(attempt, "ice-failed");
    }
  }

  #flow(attempt) {
    this.#tries = 0;
    this.#mediaTries = 0;
    this.#brokenSince = 0;
    if (this.#flowing !== attempt) {
      this.#flowing?.peer.close();
      this.#flowing = attempt;
      this.#emit("stream", attempt.peer.stream);
    }
    this.state = "connected";
    this.#emit("state", "connected");
  }

  /** An attempt is over: try again, or end. */
  #failed(attempt, reason) {
    if (attempt !== this.#attempt) return;
    this.#drop(attempt, reason);
    if (!(this.#entered || this.#waits) || !PASSING.has(reason)) return this.#end(reason);
    if (reason === "ice-failed" && ++this.#mediaTries > MAX_MEDIA_TRIES) return this.#end(reason);
    this.#brokenSince ||= Date.now();
    if (Date.now() - this.#brokenSince > PATIENCE) return this.#end(reason);
    this.#enter("reconnecting");
    const pause = BACK_OFF[Math.min(this.#tries++, BACK_OFF.length - 1)];
    // Browsers that lost the same gateway must not all come back in the same moment.
    this.#timer = setTimeout(() => this.#begin(), pause * (0.75 + Math.random() / 2));
  }

  #drop(attempt, reason) {
    clearTimeout(attempt.timer);
    attempt.socket.close();
    this.#attempt = null;
    // What still plays may go on playing, unless media are what broke.
    if (attempt === this.#flowing && reason === "server-gone" && attempt.peer.state === "connected") return;
    attempt.peer?.close();
    if (attempt === this.#flowing) {
      this.#flowing = null;
      this.#emit("stream", null);
    }
  }

  #end(reason) {
    if (this.state === "ended") return;
    removeEventListener("online", this.retry);
    clearTimeout(this.#timer);
    for (const attempt of new Set([this.#attempt, this.#flowing])) {
      clearTimeout(attempt?.timer);
      attempt?.socket.close();
      attempt?.peer?.close();
    }
    this.#attempt = this.#flowing = null;
    this.#enter("ended");
    this.#emit("ended", {reason, entered: this.#entered});
  }
}
