export type IpFamily = 'ipv4' | 'ipv6';

/** A range of addresses, as `10.0.0.0/8` is written: those whose first `prefix` bits are those of `address`. */
export interface Cidr {
  readonly family: IpFamily;
  readonly address: string;
  readonly prefix: number;
}
