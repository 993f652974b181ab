/**
 * The two messages of https://github.com/grpc/grpc/blob/master/src/proto/grpc/health/v1/health.proto, one field each:
 * by hand, since a parser of .proto files would be a hundred times as much code.
 */

export const HEALTH_CHECK_METHOD = '/grpc.health.v1.Health/Check';

/** ServingStatus, by number. */
const SERVING_STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;

const MAX_VARINT_BYTES = 10;
const FIXED_BYTES: Readonly<Record<number, number>> = { 1: 8, 5: 4 };

/** `HealthCheckRequest { string service = 1; }` */
export function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service, 'utf8');
  return name.length === 0 ? name : Buffer.concat([Buffer.of(0x0a), varint(name.length), name]);
}

/** The status in `HealthCheckResponse { ServingStatus status = 1; }`. @throws RangeError when it is no such message. */
export function decodeResponse(message: Buffer): string {
  const reader = new Reader(message);
  let status = 0;
  while (!reader.atEnd) {
    const tag = reader.varint();
    if (tag === 0x08) status = reader.varint();
    else reader.skip(tag & 7);
  }
  return SERVING_STATUSES[status] ?? String(status);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  varint(): number {
    let value = 0;
    for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
      const byte = this.#bytes.readUInt8(this.#at);
      this.#at += 1;
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) return value;
    }
    throw new RangeError('a number without end');
  }

  /** Goes past the value of a field that is not known here. */
  skip(wireType: number): void {
    if (wireType === 0) return void this.varint();
    const length = wireType === 2 ? this.varint() : FIXED_BYTES[wireType];
    if (length === undefined || this.#at + length > this.#bytes.length) throw new RangeError('no such field');
    this.#at += length;
  }
}
