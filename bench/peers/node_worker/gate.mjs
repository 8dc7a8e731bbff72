// A bound on the handshakes under way.

export class Gate {
  #free;
  #waiting = [];

  constructor(places) {
    this.#free = places;
  }

  /** Waits for a place; resolves to the function that gives it back, which is harmless twice. */
  async enter() {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    };
  }
}
