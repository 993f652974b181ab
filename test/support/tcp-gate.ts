import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

interface Link {
  readonly outer: Socket;
  readonly inner: Socket;
}

/**
 * A TCP relay on loopback that can behave as a network does: cut connections, refuse new ones, or go silent
 * without closing anything (a half-open peer).
 */
export class TcpGate {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #links = new Set<Link>();
  readonly #server: Server;
  #port = 0;
  #frozen = false;
  #peak = 0;
  #accepted = 0;

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, socket =>
      this.#accept(socket),
    );
  }

  static async listen(target: { readonly host: string; readonly port: number }): Promise<TcpGate> {
    const gate = new TcpGate(target);
    await gate.accept();
    return gate;
  }

  get port(): number {
    return this.#port;
  }

  /** Client connections: open now, open at most at one time, and ever accepted. */
  get connections(): { readonly open: number; readonly peak: number; readonly accepted: number } {
    return { open: this.#links.size, peak: this.#peak, accepted: this.#accepted };
  }

  /** Keeps every connection and accepts new ones, but lets no byte through in either direction. */
  freeze(): void {
    this.#frozen = true;
    for (const { outer, inner } of this.#links) {
      outer.unpipe(inner).pause();
      inner.unpipe(outer).pause();
    }
  }

  /** Lets flow what was held back, in order. */
  thaw(): void {
    this.#frozen = false;
    for (const link of this.#links) flow(link);
  }

  /** Resets every open connection. */
  cutAll(): void {
    for (const { outer, inner } of this.#links) {
      outer.resetAndDestroy();
      inner.destroy();
    }
  }

  /** Stops listening: new connections are refused, open ones stay. */
  async refuse(): Promise<void> {
    // `close` calls back only when the last connection has ended; the port is free at once.
    this.#server.close();
    await Promise.resolve();
  }

  /** Listens, on the same port as before. */
  async accept(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const { outer, inner } of this.#links) {
      outer.destroy();
      inner.destroy();
    }
  }

  #accept(outer: Socket): void {
    const link: Link = { outer, inner: connect({ ...this.#target, allowHalfOpen: true }) };
    outer.setNoDelay(true);
    link.inner.setNoDelay(true);
    this.#links.add(link);
    this.#accepted += 1;
    this.#peak = Math.max(this.#peak, this.#links.size);
    outer.once('close', () => this.#links.delete(link));
    endTogether(link.outer, link.inner);
    endTogether(link.inner, link.outer);
    if (!this.#frozen) flow(link);
  }
}

function flow({ outer, inner }: Link): void {
  outer.pipe(inner);
  inner.pipe(outer);
}

/** A reset on one side is a reset on the other; after a plain end what is still on its way is delivered first. */
function endTogether(one: Socket, other: Socket): void {
  one.on('error', () => other.resetAndDestroy());
  one.once('close', () => other.destroySoon());
}
