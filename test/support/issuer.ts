import { createServer } from "node:http";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

/** An OpenID Connect issuer on loopback, as far as verifiers see one: a discovery document, keys, and tokens. */
export interface Issuer {
  readonly url: string;
  readonly jwksUrl: string;
  /** The public key that tokens are signed for, as others see it. */
  readonly publicJwk: JWK;
  /** How often the keys were asked for. */
  readonly asked: () => number;
  /** Answers 503 from now on, or no longer. */
  readonly fail: (failing: boolean) => void;
  /** What the discovery document says of itself instead of the truth. */
  readonly lie: (document: object) => void;
  /** Makes a new key under a new id; with `forget` the older ones are gone. */
  readonly rotate: (forget: boolean) => Promise<void>;
  /** Adds a key as it is to those that are told. */
  readonly publish: (jwk: JWK) => void;
  readonly sign: (claims: JWTPayload, header?: { readonly kid?: string; readonly typ?: string }) => Promise<string>;
  readonly close: () => Promise<void>;
}

export async function startIssuer(): Promise<Issuer> {
  const keys: { kid: string; privateKey: CryptoKey; jwk: JWK }[] = [];
  let [asked, failing] = [0, false];
  let lies: object = {};
  const published: JWK[] = [];
  const server = createServer((request, response) => {
    if (request.url === "/keys") asked++;
    const document = { issuer: url, jwks_uri: `${url}/keys`, ...lies };
    const body = request.url === "/keys" ? { keys: [...keys.map(({ jwk }) => jwk), ...published] } : document;
    response.writeHead(failing ? 503 : 200, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  const rotate = async (forget: boolean): Promise<void> => {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const kid = `key-${keys.length + 1}-${performance.now()}`;
    if (forget) keys.length = 0;
    keys.push({ kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" } });
  };
  await rotate(true);
  return {
    url,
    jwksUrl: `${url}/keys`,
    get publicJwk() {
      return keys.at(-1)?.jwk as JWK;
    },
    asked: () => asked,
    fail: (now) => {
      failing = now;
    },
    lie: (document) => {
      lies = document;
    },
    rotate,
    publish: (jwk) => void published.push(jwk),
    sign: (claims, header = {}) => {
      const key = keys.at(-1) as (typeof keys)[number];
      const signing = new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: key.kid, ...header });
      return signing.sign(key.privateKey);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
