// The npm package `oidc-provider`, a certified OpenID Provider, as a program for tests.
//
//   node provider.mjs FOLDER_WITH_NODE_MODULES REDIRECT_URI
//
// It prints its port, and then reads commands, one JSON object a line, each answered by "ok":
//   {"person": {"sub": …, claims…}}  who signs in from now on; null refuses
//   {"spoil": "nonce"}               what is wrong with the ID tokens, or with what it says of
//                                    itself, from now on; null for nothing
// It ends when its standard input does.

import crypto from "node:crypto";
import http from "node:http";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// Its advice for production would be taken for answers.
console.info = console.warn = () => {};

const [home, redirectUri] = process.argv.slice(2);
const { default: Provider } = await import(
  pathToFileURL(`${home}/node_modules/oidc-provider/lib/index.js`));

const rsa = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
const stranger = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = (pair, kid) => ({ ...pair.privateKey.export({ format: "jwk" }), kid, use: "sig" });

let person = null;
let spoil = null;

const client = (client_id, more) => ({
  client_id, client_secret: "s3cret:/+ %", redirect_uris: [redirectUri],
  post_logout_redirect_uris: [redirectUri.replace("callback", "signed-out")],
  grant_types: ["authorization_code"], response_types: ["code"], ...more,
});

const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    clients: [
      client("tributary", {}),
      client("ps", { id_token_signed_response_alg: "PS256" }),
      client("es", { id_token_signed_response_alg: "ES256" }),
      client("public", { client_secret: undefined, token_endpoint_auth_method: "none" }),
    ],
    jwks: { keys: [jwk(rsa, "rsa"), jwk(ec, "ec")] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "PS256", "ES256"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
    scopes: ["openid", "groups"],
    cookies: { keys: ["of these tests"] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ ...person, sub }) }),
  });
  provider.use(async (ctx, next) => {
    await next();
    if (!spoil || !ctx.oidc) return;
    if (ctx.oidc.route === "token" && ctx.body?.id_token) ctx.body.id_token = spoiled(ctx.body.id_token);
    if (ctx.oidc.route === "discovery" && spoil === "no sign-out") delete ctx.body.end_session_endpoint;
    if (ctx.oidc.route === "discovery" && spoil === "bad sign-out") ctx.body.end_session_endpoint = "javascript:1";
    if (ctx.oidc.route === "userinfo" && spoil === "userinfo") ctx.body.sub = "somebody else";
    if (ctx.oidc.route === "jwks" && spoil === "rotated") {
      ctx.body.keys.push({ ...stranger.publicKey.export({ format: "jwk" }), kid: "fresh" });
    }
  });
  const callback = provider.callback();
  server.on("request", async (req, res) => {
    if (!req.url.startsWith("/interaction/")) return callback(req, res);
    const details = await provider.interactionDetails(req, res);
    let result;
    if (!person) {
      result = { error: "access_denied", error_description: "said no" };
    } else if (details.prompt.name === "login") {
      result = { login: { accountId: person.sub } };
    } else {
      const grant = new provider.Grant({
        accountId: details.session.accountId, clientId: details.params.client_id,
      });
      grant.addOIDCScope("openid email profile groups");
      result = { consent: { grantId: await grant.save() } };
    }
    await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
  });
  console.log(port);
});

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const decode = (text) => JSON.parse(Buffer.from(text, "base64url"));

function spoiled(token) {
  const [header, claims] = token.split(".").slice(0, 2).map(decode);
  const now = Math.floor(Date.now() / 1000);
  let key = rsa.privateKey;
  switch (spoil) {
    case "nonce": claims.nonce = "of another sign-in"; break;
    case "no nonce": delete claims.nonce; break;
    case "audience": claims.aud = "another client"; break;
    case "audiences": claims.aud = [claims.aud, "another client"]; break;
    case "party": claims.azp = "another client"; break;
    case "issuer": claims.iss = "https://evil.example"; break;
    case "expired": claims.exp = now - 120; break;
    case "skew": claims.exp = now - 30; claims.iat = now + 30; break;
    case "future": claims.iat = now + 600; claims.exp = now + 1200; break;
    case "subject": claims.sub = ""; break;
    case "key": case "rotated": key = stranger.privateKey; header.kid = "fresh"; break;
    case "forged": key = stranger.privateKey; break;
    case "critical": header.crit = ["b64"]; header.b64 = false; break;
    case "none": return `${encode({ alg: "none" })}.${encode(claims)}.`;
    case "hs256": {
      const signed = `${encode({ alg: "HS256", kid: "rsa" })}.${encode(claims)}`;
      // With the public key as the secret, which everybody knows.
      const secret = rsa.publicKey.export({ type: "spki", format: "pem" });
      return `${signed}.${crypto.createHmac("sha256", secret).update(signed).digest("base64url")}`;
    }
    default: return token;
  }
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${crypto.sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    if ("person" in command) person = command.person;
    if ("spoil" in command) spoil = command.spoil;
    console.log("ok");
  })
  .on("close", () => process.exit(0));
