/** The code of what a socket, TLS or the resolver threw, as `ECONNREFUSED`; of several addresses, the first tried. */
export function socketCode(thrown: unknown): string | undefined {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return socketCode(thrown.errors[0]);
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Whether the two sides could not agree on a TLS session: mostly, one does not accept the other's certificate. */
export function isTlsCode(code: string | undefined): boolean {
  return code !== undefined && TLS_CODES.test(code);
}

/** Node's own, OpenSSL's, and those of verifying a chain: nodejs.org/api/tls.html#x509-certificate-error-codes */
const TLS_CODES =
  /^(?:ERR_(?:TLS|SSL|OSSL)|EPROTO|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA)/;
