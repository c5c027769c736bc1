import { parseUrl } from "../cel/url.ts";

/** A text that a rule's author means to let through, and one that nobody would, which a loose test cannot distinguish from it. */
export interface Probe {
  readonly meant: string;
  readonly forged: string;
  /** What to write instead, about `subject`. */
  readonly instead: (subject: string) => string;
}

/** Ends of names that are hosts rather than anything else. */
const ENDS =
  "com|org|net|io|dev|app|ai|co|cloud|edu|gov|eu|de|uk|fr|ch|us|info|biz|internal|local|corp|lan|test|example|invalid";
const NAME = "[A-Za-z0-9_-]+(?:\\.[A-Za-z0-9_-]+)*";
const URL_HOST = new RegExp(`^[a-z][a-z0-9+.-]*://(${NAME})`, "i");
const MAIL_HOST = new RegExp(`@(${NAME})`);
const BARE_HOST = new RegExp(`((?:[A-Za-z0-9_-]+\\.)+(?:${ENDS}))(?![A-Za-z0-9_-])`, "i");
const FILE_PATH = /^(?:\/[A-Za-z0-9_.-]+)+\/?$/;

/** Probes for a text that `subject` is to begin with, end with or contain. */
export function probesFor(text: string, subject: string): readonly Probe[] {
  if (/^[a-z][a-z0-9+.-]*:\/\/$/i.test(text)) return schemeProbes(text);
  if (URL_HOST.test(text)) return urlProbes(text);
  const mail = MAIL_HOST.exec(text)?.[1];
  if (mail !== undefined) return mailProbes(mail);
  if (FILE_PATH.test(text)) return fileProbes(text);
  const host = BARE_HOST.exec(text)?.[1];
  if (host === undefined) return [];
  const isHostname = subject.endsWith(".getHostname()") || text.startsWith(".");
  return [...hostProbes(host, text.startsWith(".")), ...(isHostname ? [] : urlProbes(`https://${host}`))];
}

/** Probes for a pattern that `subject` is to match. */
export function patternProbesFor(pattern: string, subject: string): readonly Probe[] {
  const unescaped = pattern.replaceAll(/\\([./-])/g, "$1");
  const host = BARE_HOST.exec(unescaped)?.[1];
  const within = host === undefined || !/:\/\//.test(unescaped) ? [] : withinProbes(host);
  return [...probesFor(plainPartOf(pattern), subject), ...within];
}

/** The text that everything begins with which `pattern` matches, as far as it is plain; a URL's scheme is taken for https. */
function plainPartOf(pattern: string): string {
  const body = pattern
    .replace(/^\(\?[a-zA-Z]+\)/, "")
    .replace(/^(\^|\\A)/, "")
    .replace(/^https\?|^\((?:\?:)?(?:https?\|https?|https\?)\)/, "https")
    .replace(/^(?:\.[*+]|\\S[*+]|\[\^@[^\]]*\][*+])(?=@|\\?[A-Za-z])/, "");
  let plain = "";
  for (const [, escaped, one, quantifier] of body.matchAll(
    /(?:\\([^A-Za-z0-9])|([^\\^$.|?*+()[\]{}]|\.))([?*+{])?/gy,
  )) {
    if (quantifier !== undefined) break;
    plain += escaped ?? one ?? "";
  }
  return plain;
}

function schemeProbes(text: string): Probe[] {
  const meant = `${text}www.example.org/`;
  const instead = (subject: string) => `url(${subject}).getScheme() == "${text.slice(0, -3).toLowerCase()}"`;
  return [{ meant, forged: `ftp://evil.test/?${meant}`, instead }];
}

function urlProbes(text: string): Probe[] {
  return [text, `${text}/`, `${text}a`, `${text}/a`].flatMap((meant) => {
    const url = parseUrl(meant);
    if (typeof url === "string" || typeof url.path() === "string") return [];
    const { scheme, hostname: host, rawPath: path } = url;
    const isHost = (subject: string) =>
      `url(${subject}).getScheme() == "${scheme}" && url(${subject}).getHostname() == "${host}"`;
    const [first = "", ...labels] = host.split(".");
    const authority = meant.slice(meant.indexOf("://") + 3).split("/")[0] ?? "";
    const hosts = [
      `${host}.evil.test`,
      `${authority}@evil.test`,
      ...(labels.length > 1 ? [`${first}x${labels.join(".")}`] : []),
    ];
    const forged = [...hosts.map((other) => `${scheme}://${other}${path}`), `https://evil.test/?${meant}`];
    const below = path.replace(/\/[^/]*$/, "");
    const isBelow = (subject: string) => `${isHost(subject)} && path(url(${subject})).isWithin("${below}")`;
    return [
      ...forged.map((each) => ({ meant, forged: each, instead: isHost })),
      ...(below === "" ? [] : [{ meant, forged: `${scheme}://${host}${below}/../../other`, instead: isBelow }]),
    ];
  });
}

/** What comes before a host in a pattern may also match the end of another host, and a path. */
function withinProbes(host: string): Probe[] {
  const instead = (subject: string) =>
    `url(${subject}).getHostname() == "${host}" || url(${subject}).getHostname().endsWith(".${host}")`;
  return [`evil.test/.${host}`, `evil.test?.${host}`, `evil${host}`].map((other) => ({
    meant: `https://www.${host}/`,
    forged: `https://${other}/`,
    instead,
  }));
}

function hostProbes(host: string, isSuffix: boolean): Probe[] {
  const meant = isSuffix ? `www.${host}` : host;
  const instead = (subject: string) => {
    const ofUrl = subject.endsWith(".getHostname()") ? "" : ` (of a URL: url(${subject}).getHostname() == "${host}")`;
    return `${subject} == "${host}" || ${subject}.endsWith(".${host}")${ofUrl}`;
  };
  return [`${meant}.evil.test`, ...(isSuffix ? [] : [`evil${host}`])].map((forged) => ({ meant, forged, instead }));
}

function mailProbes(host: string): Probe[] {
  const meant = `ann@${host}`;
  const pattern = `(?i)^[a-z0-9._+-]+@${host.replaceAll(".", "\\.")}$`;
  const instead = (subject: string) => `${subject}.matches(r"${pattern}"), which takes one address`;
  return [`eve@evil.test, ${meant}`, `eve@evil.test,${meant}`, `${meant}.evil.test`, `${meant}, eve@evil.test`].map(
    (forged) => ({
      meant,
      forged,
      instead,
    }),
  );
}

function fileProbes(text: string): Probe[] {
  const parent = text.replace(/\/$/, "");
  const meant = `${parent}/file`;
  const instead = (subject: string) => `path(${subject}).isWithin("${parent}")`;
  return [`${parent}/../../etc/passwd`, `${parent}-other/file`].map((forged) => ({ meant, forged, instead }));
}
