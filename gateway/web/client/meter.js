/**
 * How loud a track is, as a bar.
 *
 * The peak of the last 20 ms, from -60 dBFS (0) to 0 dBFS (100), falls off slowly so that the eye can follow.
 */

const FLOOR = -60;
/** How much of the bar is left after one frame of the screen without sound. */
const FALL = 0.92;
/** Milliseconds between two values told to assistive technology. */
const TELL_EVERY = 500;

let context = null;

/** One context for the page: browsers allow only a few. It may only sound after a gesture in some of them. */
function sharedContext() {
  if (!context) {
    context = new AudioContext();
    const wake = () => context.resume();
    for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, wake, {passive: true});
  }
  context.resume();
  return context;
}

export class Meter {
  #element;
  #source = null;
  #analyser = null;
  #samples = null;
  #level = 0;
  #frame = 0;
  #told = 0;

  /** element has role="meter" and takes the level as --level (0 to 1) too. */
  constructor(element) {
    this.#element = element;
  }

  /** Show this track from now on; null for none. */
  show(track) {
    this.stop();
    if (!track) return;
    const context = sharedContext();
    // A stream of its own, for the track may change its owner.
    this.#source = context.createMediaStreamSource(new MediaStream([track]));
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source.connect(this.#analyser);
    this.#draw(0);
  }

  /** Show nothing. */
  stop() {
    cancelAnimationFrame(this.#frame);
    this.#source?.disconnect();
    this.#source = null;
    this.#level = 0;
    this.#put(0, Infinity);
  }

  #draw = (now) => {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let peak = 0;
    for (const sample of this.#samples) peak = Math.max(peak, Math.abs(sample));
    const level = Math.max(0, 1 - (20 * Math.log10(peak || 1e-9)) / FLOOR);
    this.#level = Math.min(1, Math.max(level, this.#level * FALL));
    this.#put(this.#level, now);
    this.#frame = requestAnimationFrame(this.#draw);
  };

  #put(level, now) {
    this.#element.style.setProperty("--level", level.toFixed(3));
    if (now - this.#told < TELL_EVERY) return;
    this.#told = now === Infinity ? 0 : now;
    this.#element.setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }
}
