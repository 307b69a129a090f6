/** Client certificates: the common name is the user, the organizations are the groups. */
import { createHash, X509Certificate } from 'node:crypto';
import { parseCertificate, type CertificateInfo } from '../../base/pki.ts';
import type { Clock } from '../../base/clock.ts';
import type { HistogramHandle, MetricsRegistry } from '../../base/metrics.ts';
import type { Authenticated, Authenticator } from './types.ts';
import { AuthenticationError } from './error.ts';

/** A certificate with what was read from it. */
interface Checked {
  readonly info: CertificateInfo;
  readonly authenticated: Authenticated | undefined;
  /** Of the certificate and its root together, in milliseconds. */
  readonly notAfter: number;
  readonly notBefore: number;
}

interface Member {
  readonly cert: X509Certificate;
  readonly info: CertificateInfo;
}

const forClients = (info: CertificateInfo) =>
  info.extendedUsages.length === 0 ||
  info.extendedUsages.includes('client auth') ||
  info.extendedUsages.includes('any');

/**
 * The root that vouches for the leaf, or the leaf itself when it is one. Each certificate of the CA file is trusted by
 * itself; certificates that a client sends along are not seen, since Node doesn't show them to a server.
 */
function findRoot(leaf: Member, roots: readonly Member[]): Member | undefined {
  return roots.find(
    (r) =>
      r.cert.fingerprint256 === leaf.cert.fingerprint256 ||
      (r.info.ca && forClients(r.info) && leaf.cert.checkIssued(r.cert) && leaf.cert.verify(r.cert.publicKey)),
  );
}

/** Verifies certificates against one set of roots; what was found is kept per connection's certificate buffer. */
export class CertificateVerifier {
  readonly #clock: Clock;
  #roots: Member[];
  #seen = new WeakMap<Buffer, Checked | Error>();

  constructor(clock: Clock, roots: readonly X509Certificate[]) {
    this.#clock = clock;
    this.#roots = roots.map((cert) => ({ cert, info: parseCertificate(cert.raw) }));
  }

  /** Replaces the roots, after the CA file changed. */
  setRoots(roots: readonly X509Certificate[]): void {
    this.#roots = roots.map((cert) => ({ cert, info: parseCertificate(cert.raw) }));
    this.#seen = new WeakMap();
  }

  /** The verified leaf; throws an AuthenticationError when it can't be trusted now. */
  verify(leaf: Buffer): { info: CertificateInfo; authenticated: Authenticated | undefined } {
    let found = this.#seen.get(leaf);
    if (!found) {
      try {
        found = this.#check(leaf);
      } catch (error) {
        found =
          error instanceof AuthenticationError ? error : new AuthenticationError('the client certificate is malformed');
      }
      this.#seen.set(leaf, found);
    }
    if (found instanceof Error) throw found;
    const now = this.#clock.now();
    if (now > found.notAfter || now < found.notBefore) {
      throw new AuthenticationError(
        `the client certificate has expired or is not yet valid: now ${new Date(now).toISOString()}`,
      );
    }
    return found;
  }

  #check(leaf: Buffer): Checked {
    const first: Member = { cert: new X509Certificate(leaf), info: parseCertificate(leaf) };
    if (!forClients(first.info)) throw new AuthenticationError('the client certificate is not meant for clients');
    const root = findRoot(first, this.#roots);
    if (!root) throw new AuthenticationError('the client certificate is signed by an unknown authority');
    const id = `X509SHA256=${createHash('sha256').update(leaf).digest('hex')}`;
    const { subject } = first.info;
    return {
      info: first.info,
      notBefore: Math.max(first.info.notBefore, root.info.notBefore),
      notAfter: Math.min(first.info.notAfter, root.info.notAfter),
      authenticated:
        subject.commonName === ''
          ? undefined
          : {
              user: {
                name: subject.commonName,
                ...(subject.uid === '' ? {} : { uid: subject.uid }),
                groups: subject.organizations,
                extra: { 'authentication.kubernetes.io/credential-id': [id] },
              },
            },
    };
  }
}

/** Counts for how many seconds client certificates are still valid when they are shown. */
export function certificateMetrics(registry: MetricsRegistry): HistogramHandle {
  const [minute, hour, day] = [60, 3600, 86_400];
  const soon = [0, 30 * minute, hour, 2 * hour, 6 * hour, 12 * hour];
  return registry
    .histogram(
      'apiserver_client_certificate_expiration_seconds',
      'Seconds that client certificates are still valid when they are shown.',
      [],
      [...soon, ...[1, 2, 4, 7, 30, 90, 180, 360].map((n) => n * day)],
    )
    .handle([]);
}

/**
 * Authenticates by certificates that `verifier` trusts; the group system:authenticated is added by the union. `left`
 * hears how long each certificate is still valid.
 */
export function createX509Authenticator(
  verifier: CertificateVerifier,
  clock: Clock,
  left: HistogramHandle | undefined,
): Authenticator {
  return {
    async authenticate(c) {
      if (!c.clientCertificate) return undefined;
      const { info, authenticated } = verifier.verify(c.clientCertificate);
      left?.observe((info.notAfter - clock.now()) / 1000);
      return authenticated;
    },
  };
}
