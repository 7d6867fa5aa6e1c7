/**
 * The page from address to good-bye: join page, room, end.
 *
 * Addresses: / asks for the room, /r/ROOM knows it. ?name=Ann fills in the name, &join=1 joins at once.
 */

import {Call} from "./call.js";
import {JoinPage} from "./join.js";
import {LobbyPage} from "./lobby.js";
import {OwnMedia} from "./media.js";
import {explain} from "./messages.js";
import {byId, showView} from "./page.js";
import {recall} from "./preferences.js";
import {RoomPage} from "./room.js";

const media = new OwnMedia();
const joinPage = new JoinPage(media, join);
const lobbyPage = new LobbyPage();
const roomPage = new RoomPage(media);
let call = null;
let last = null;

/** Return the room that the address names, or "". */
function roomOfAddress() {
  const [, room] = /^\/r\/([^/]+)\/?$/.exec(location.pathname) ?? [];
  try {
    return room ? decodeURIComponent(room) : "";
  } catch {
    return "";
  }
}

function join(who) {
  if (!window.RTCPeerConnection) return joinPage.refuse("no-webrtc");
  if (call) return;
  last = who;
  joinPage.waiting("Connecting to the room…");
  const {tracks, heard, seen} = media;
  const muted = {audio: !heard, video: !seen};
  call = new Call(who, {audio: tracks.microphone, video: tracks.camera}, muted);
  roomPage.open(call, who);
  const current = call;
  call.addEventListener("waiting", ({detail}) => waits(current, who.room, detail));
  call.addEventListener("joined", () => entered(who.room));
  call.addEventListener("ended", ({detail}) => ended(detail));
  call.start();
}

function waits(waiting, room, message) {
  showAddress(room);
  joinPage.preview();
  lobbyPage.show(waiting, message);
}

function entered(room) {
  lobbyPage.hide();
  joinPage.leave();
  showAddress(room);
  roomPage.show();
}

function showAddress(room) {
  const address = `/r/${encodeURIComponent(room)}`;
  if (location.pathname !== address) history.replaceState(null, "", address + location.search);
}

function ended({reason, entered: wasInside}) {
  call = null;
  roomPage.close();
  lobbyPage.hide();
  if (!wasInside) return joinPage.refuse(reason === "left" ? "" : reason); // it is left from the lobby
  media.stop();
  const {title, text} = explain(reason);
  byId("end-title").textContent = title;
  byId("end-text").textContent = text;
  document.title = `${title} – Roombridge`;
  showView("end");
  byId("end-title").focus();
}

async function again() {
  await joinPage.open(last.room, last.name);
  joinPage.join();
}

byId("end-again").addEventListener("click", again);
byId("end-back").addEventListener("click", () => {
  history.replaceState(null, "", "/");
  joinPage.open("", last?.name);
});
// Who closes the page leaves; who comes back to it by the browser's history begins anew.
addEventListener("pagehide", () => call?.leave());
addEventListener("pageshow", (event) => event.persisted && location.reload());

const parameters = new URLSearchParams(location.search);
const opened = joinPage.open(roomOfAddress(), parameters.get("name") ?? recall("name"));
if (parameters.get("join") === "1") {
  opened.then(() => joinPage.join());
}
