/** A credential that is of a known kind but not good. The client sees 401 Unauthorized; TokenReview shows the message. */
export class AuthenticationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AuthenticationError';
  }
}
