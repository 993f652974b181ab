import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const A = 1;
const HEADER_BYTES = 12;

/** What it says of a name: addresses, that it failed, or (`nothing`) never a word. */
export type DnsAnswer = readonly string[] | 'failure' | 'nothing';

/** A DNS server on loopback that answers A questions as told; of every other type there is nothing, unless that fails. */
export class DnsServer implements AsyncDisposable {
  readonly #socket: Socket = createSocket('udp4');
  readonly #answers: (name: string) => DnsAnswer;
  readonly #others: DnsAnswer;
  /** Names of the A questions, in order. */
  readonly asked: string[] = [];

  private constructor(answers: (name: string) => DnsAnswer, others: DnsAnswer) {
    this.#answers = answers;
    this.#others = others;
    this.#socket.on('message', (question, { port, address }) => {
      const reply = this.#reply(question);
      if (reply !== undefined) this.#socket.send(reply, port, address);
    });
  }

  static async start(
    answers: (name: string) => DnsAnswer,
    others: Exclude<DnsAnswer, 'nothing'> = [],
  ): Promise<DnsServer> {
    const server = new DnsServer(answers, others);
    server.#socket.bind(0, '127.0.0.1');
    await once(server.#socket, 'listening');
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  /** RFC 1035 §4.1. */
  #reply(question: Buffer): Buffer | undefined {
    const { name, end } = readName(question);
    const isA = question.readUInt16BE(end) === A;
    if (isA) this.asked.push(name);
    const answer = isA ? this.#answers(name) : this.#others;
    if (answer === 'nothing') return undefined;
    const found = answer === 'failure' ? [] : answer;
    const header = Buffer.alloc(HEADER_BYTES);
    question.copy(header, 0, 0, 2);
    header.writeUInt16BE(answer === 'failure' ? 0x8182 : 0x8180, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(found.length, 6);
    return Buffer.concat([header, question.subarray(HEADER_BYTES, end + 4), ...found.map(record)]);
  }
}

function readName(message: Buffer): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.'), end: at + 1 };
}

/** Of the name asked for, class IN, good for no time at all. */
function record(address: string): Buffer {
  return Buffer.from([0xc0, HEADER_BYTES, 0, A, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]);
}
