/** Who a request comes from. */
export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** The parts of a request that authentication looks at. */
export interface Credentials {
  /** DER of the verified client certificate chain's leaf, when the TLS layer was given one. */
  readonly clientCertificate?: Buffer;
  /** From `Authorization: Bearer` or a WebSocket subprotocol. */
  readonly bearerToken?: string;
  readonly header: (name: string) => string | undefined;
  /** All request headers, lower-case, for requestheader extras. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Names and values in turn as they came, so that repeated headers stay apart; `headers` is used when absent. */
  readonly rawHeaders?: readonly string[];
  /** The path that is asked for, without the query; anonymous requests may be confined to some. */
  readonly path?: string;
  /** The audiences that the credential must be good for (TokenReview); the server's own when absent. */
  readonly audiences?: readonly string[];
}

export interface Authenticated {
  readonly user: UserInfo;
  /** The audiences the credential is good for, when it names any. */
  readonly audiences?: readonly string[];
  /** False when the next request on the connection must be looked at again. */
  readonly reusable?: boolean;
}

/** Tries one way of authentication: undefined means "not mine", a rejection with 401 means "mine and wrong". */
export interface Authenticator {
  authenticate(credentials: Credentials): Promise<Authenticated | undefined>;
}
