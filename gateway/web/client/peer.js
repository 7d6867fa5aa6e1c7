/**
 * One RTCPeerConnection with the gateway: our sound and picture out, the room's sound and picture in.
 *
 * Theory of operation. Descriptions are handled one after the other, in the order in which they came (`#queue`).
 * We offer; the gateway may offer too. When both do at once the gateway's offer stands: ours is rolled back by
 * setRemoteDescription (RFC 9429 §4.1.10.2) and made again when the gateway answers it with "glare". Candidates that
 * come before the description they belong to are kept until it is set.
 */

/** Candidates of the gateway kept before its description is there; it has a handful. */
const MAX_EARLY = 64;

export class Peer {
  /** The room's sound and picture. */
  stream = new MediaStream();
  #connection = new RTCPeerConnection({bundlePolicy: "max-bundle", rtcpMuxPolicy: "require"});
  #audio;
  #video;
  #handlers;
  #queue = Promise.resolve();
  #early = [];
  #offerAgain = false;
  #closed = false;

  /** handlers: {send(message), onstate(connectionState), onfailure(error)}. */
  constructor(handlers, audio, video) {
    this.#handlers = handlers;
    const connection = this.#connection;
    connection.addEventListener("icecandidate", ({candidate}) => this.#found(candidate));
    connection.addEventListener("connectionstatechange", () => this.#changed());
    connection.addEventListener("track", ({track}) => this.stream.addTrack(track));
    this.#audio = this.#line("audio", audio);
    this.#video = this.#line("video", video);
    preferH264(this.#video);
  }

  /** "new", "connecting", "connected", "disconnected", "failed" or "closed". */
  get state() {
    return this.#connection.connectionState;
  }

  /** Offer what there is now; while a description is open, as soon as that is settled. */
  offer() {
    return this.#then(async () => {
      this.#offerAgain = this.#connection.signalingState !== "stable";
      if (this.#offerAgain) return;
      await this.#connection.setLocalDescription();
      this.#handlers.send({type: "offer", sdp: this.#connection.localDescription.sdp});
    });
  }

  /** Send another track, or null for none; offers again if the gateway did not expect one until now. */
  async replace(kind, track) {
    const line = kind === "audio" ? this.#audio : this.#video;
    await line.sender.replaceTrack(track);
    if (track && line.direction !== "sendrecv") {
      line.direction = "sendrecv";
      await this.offer();
    }
  }

  /** Take a message of the gateway that belongs here. */
  take(message) {
    if (message.type === "candidate") this.#then(() => this.#candidate(message));
    else if (message.type === "answer") this.#then(() => this.#answer(message.sdp));
    else if (message.type === "offer") this.#then(() => this.#offered(message.sdp));
    else if (message.type === "error" && message.reason === "glare") this.offer();
    else if (message.type === "error" && message.reason !== "bad-request") this.#then(() => this.#refused());
  }

  /** Close it; no handler is called any more. */
  close() {
    this.#closed = true;
    this.#connection.close();
  }

  #line(kind, track) {
    return this.#connection.addTransceiver(track ?? kind, {direction: track ? "sendrecv" : "recvonly"});
  }

  #then(step) {
    this.#queue = this.#queue.then(async () => {
      if (this.#closed) return;
      try {
        await step();
      } catch (error) {
        if (!this.#closed) this.#handlers.onfailure(error);
      }
    });
    return this.#queue;
  }

  async #answer(sdp) {
    if (this.#connection.signalingState !== "have-local-offer") return;
    await this.#connection.setRemoteDescription({type: "answer", sdp});
    await this.#late();
    this.#settled();
  }

  async #offered(sdp) {
    await this.#connection.setRemoteDescription({type: "offer", sdp});
    await this.#late();
    await this.#connection.setLocalDescription();
    this.#handlers.send({type: "answer", sdp: this.#connection.localDescription.sdp});
    this.#settled();
  }

  /** The gateway takes no offer of this kind: go on as before. */
  async #refused() {
    if (this.#connection.signalingState !== "have-local-offer") return;
    await this.#connection.setLocalDescription({type: "rollback"});
    this.#settled();
  }

  #settled() {
    if (this.#offerAgain) this.offer();
  }

  async #candidate(message) {
    if (!this.#connection.remoteDescription) {
      if (this.#early.length < MAX_EARLY) this.#early.push(message);
      return;
    }
    try {
      await this.#connection.addIceCandidate({candidate: message.candidate ?? "", sdpMid: message.mid || "0"});
    } catch (error) {
      // One path less; the others may do.
      console.info("candidate left out:", error.message);
    }
  }

  async #late() {
    for (const message of this.#early.splice(0)) await this.#candidate(message);
  }

  #found(candidate) {
    if (this.#closed) return;
    this.#handlers.send({
      type: "candidate",
      mid: candidate?.sdpMid ?? "",
      candidate: candidate?.candidate || null,
    });
  }

  #changed() {
    if (!this.#closed) this.#handlers.onstate(this.#connection.connectionState);
  }
}

/** Put H.264 first: it is what the room's picture is encoded in once for everybody. */
function preferH264(line) {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
  if (!codecs || !line.setCodecPreferences) return;
  const rank = (codec) => {
    if (codec.mimeType !== "video/H264") return codec.mimeType === "video/VP8" ? 2 : 3;
    return codec.sdpFmtpLine?.includes("packetization-mode=1") ? 0 : 1;
  };
  // A stable sort: what belongs together stays in the browser's order.
  line.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));
}
