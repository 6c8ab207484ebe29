/// Mail that looks like mail, the same each time, and a platform that has it.

const DAY = 86_400_000;

/** A number generator with a seed. @param {number} seed */
function numbers(seed) {
  let state = seed;
  return (/** @type {number} */ below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

/** @type {[string, string][]} */
const DESKS = [
  ["Claims desk", "claims@example.com"], ["Underwriting", "underwriting@example.com"], ["Broker support", "brokers@example.com"],
];
/** @type {[string, string][]} */
const PARTNERS = [
  ["Harbor Logistics", "dispatch@harbor.example"], ["Northwind Motors", "fleet@northwind.example"], ["Linden Clinic", "billing@linden-clinic.example"],
  ["Alpine Hotels", "office@alpine-hotels.example"], ["Quayside Marina", "desk@quayside.example"], ["Fir & Oak Joinery", "accounts@firandoak.example"],
  ["Copperfield Farms", "office@copperfield.example"], ["Meridian Couriers", "service@meridian.example"],
];
/** @type {[string, string, string][]} */
const TOPICS = [
  ["Water damage at the warehouse", "The sprinkler line above bay 4 burst on Sunday night. About 60 pallets are wet, and the floor is closed for now. Photos and the plumber's report are attached.",
    "Thank you for the quick report. Please keep the wet pallets where they are; an adjuster will visit on Thursday morning between 9 and 11."],
  ["Invoice 20418 is still open", "Our records show that invoice 20418 over EUR 3,480.00 was due on the first of the month. Could you tell us when we can expect the payment?",
    "The invoice was approved yesterday. The payment leaves with tomorrow's run and should be on your account by Friday."],
  ["Change of cover for two vans", "From next month two of our vans will also carry refrigerated goods. What does that change for the cover, and from which day does it count?",
    "Refrigerated goods need the extension for perishable cargo. It can begin on the first; I have attached the offer with the new premium."],
  ["Windshield claim, plate HB-2207", "A stone broke the windshield of the van with the plate HB-2207 this morning. The workshop could replace it tomorrow. May we go ahead?",
    "Yes, please go ahead. The workshop can send its bill to us directly; the excess is EUR 150."],
  ["Renewal of the group policy", "The policy of our 42 employees ends with the quarter. Before we renew, we would like to see the terms without the dental module.",
    "Here is the comparison with and without the dental module. Without it the premium falls by 11 percent."],
  ["Lost parcel from 14 crates", "Of 14 crates that we sent only 13 arrived; the missing one held brass fittings of about EUR 900. The carrier confirms the loss.",
    "We have opened the claim. Please send us the consignment note and the confirmation of the carrier."],
  ["Question about the excess", "In the terms the excess is given once per year and once per event. Which of the two counts for storm damage to the greenhouse?",
    "For storm damage the excess counts once per event. The yearly one only applies to glass."],
];

/** @param {{id: string, from: [string, string], to: [string, string], subject: string, text: string, at: Date, reply?: string|undefined, thread?: string[], html?: string, attachment?: boolean}} mail */
export function rfc5322(mail) {
  const headers = [
    `From: ${mail.from[0]} <${mail.from[1]}>`, `To: ${mail.to[0]} <${mail.to[1]}>`, `Subject: ${mail.subject}`, `Date: ${mail.at.toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: ${mail.id}`, ...(mail.reply ? [`In-Reply-To: ${mail.reply}`, `References: ${(mail.thread ?? [mail.reply]).join(" ")}`] : []), "MIME-Version: 1.0",
  ];
  const text = `Content-Type: text/plain; charset=utf-8\r\n\r\n${mail.text}\r\n`;
  if (!mail.html && !mail.attachment) return `${headers.join("\r\n")}\r\n${text}`;
  const html = `Content-Type: text/html; charset=utf-8\r\n\r\n${mail.html ?? `<p>${mail.text}</p>`}\r\n`;
  const file = "Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"report.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQKJSBhIHNob3J0IGZpbGUK\r\n";
  const parts = [...(mail.html ? [] : [text]), ...(mail.html ? [html] : []), ...(mail.attachment ? [file] : [])];
  return `${headers.join("\r\n")}\r\nContent-Type: multipart/mixed; boundary="part"\r\n\r\n${parts.map((part) => `--part\r\n${part}`).join("")}--part--\r\n`;
}

/** Emails of about the last four months. @param {number} count */
export function emails(count) {
  const next = numbers(7);
  const now = Date.now();
  const all = [];
  for (let thread = 0; all.length < count; thread += 1) {
    const partner = pick(PARTNERS, next(1000));
    const desk = pick(DESKS, next(1000));
    const [subject, ask, answer] = pick(TOPICS, thread);
    // More of late, and nothing in the future.
    let at = now - Math.floor((next(1000) / 1000) ** 2 * 120 * DAY) - 3 * DAY - next(DAY);
    /** @type {string[]} */
    const before = [];
    const turns = 1 + next(4);
    for (let turn = 0; turn < turns; turn += 1) {
      const asks = turn % 2 === 0;
      const [from, to] = asks ? [partner, desk] : [desk, partner];
      const id = `<${thread}.${turn}@${from[1].split("@")[1]}>`;
      const quote = turn === 0 ? "" : `\r\n\r\nOn ${new Date(at - DAY).toUTCString()}, ${to[0]} wrote:\r\n> ${asks ? answer : ask}`;
      const body = turn < 2 ? (asks ? ask : answer) : asks ? "Thank you, that is clear. We will send the papers this week." : "All papers are here. The case is settled; you will get a letter with the details.";
      const text = `Good morning,\r\n\r\n${body}\r\n\r\nKind regards\r\n\r\n-- \r\n${from[0]}\r\n${from[1]} · +49 40 5550 1${next(90) + 10}${quote}`;
      const when = new Date(at);
      const mailbox = desk[1];
      const folder = asks ? ["Inbox", ...(next(3) === 0 ? [subject.includes("nvoice") ? "Invoices" : "Claims"] : [])] : ["Sent Items"];
      const mail = { id, from, to, subject: turn === 0 ? subject : `Re: ${subject}`, text, at: when, reply: before.at(-1), thread: [...before], attachment: asks && turn === 0 && thread % 3 === 0 };
      const mime = rfc5322(mail);
      all.push({
        id, mailbox, timestamp: when.toISOString(), mime_content: mime,
        metadata: { folder, size: mime.length, has_attachments: mail.attachment, conversation_topic: subject },
        attachments: [],
      });
      before.push(id);
      at = Math.min(at + DAY / 6 + next(DAY), now - 60_000);
    }
  }
  return all.slice(0, count);
}

/** An email with everything that an original message is dangerous for. */
export function newsletter(/** @type {string} */ canary) {
  const html = `<html><body style="font-family:sans-serif"><h2 style="color:#0b6f94">Quarterly update for brokers</h2>
    <p>The new terms are <b>in force</b>. <a href="https://www.example.com/terms">Read them</a>.</p>
    <img src="${canary}/pixel.png" width="1" height="1"><img src="${canary}/banner.png" alt="Banner">
    <script>fetch("${canary}/script")</script><div onclick="alert(1)" style="background:url(${canary}/background)">Best regards</div></body></html>`;
  const at = new Date(Date.now() - 7_200_000);
  /** @type {Parameters<typeof rfc5322>[0]} */
  const mail = { id: "<newsletter@partners.example>", from: ["Partner news", "news@partners.example"], to: ["Broker support", "brokers@example.com"], subject: "Quarterly update for brokers", text: "", html, at };
  return { id: mail.id, mailbox: "brokers@example.com", timestamp: at.toISOString(), mime_content: rfc5322(mail), metadata: { folder: ["Inbox", "Newsletters"] }, attachments: [] };
}

/**
 * @template T
 * @param {T[]} list
 * @param {number} place
 * @returns {T}
 */
function pick(list, place) {
  const found = list[place % list.length];
  if (found === undefined) throw new Error("the list is empty");
  return found;
}

const hex = (/** @type {string} */ text) => Buffer.from(text).toString("hex");

/**
 * A project with mail, sync states, a configuration and people.
 * @param {import("./server.js").Platform} platform
 * @param {number} count
 */
export async function fill(platform, count = 240) {
  const { user } = await platform.call("GET", "auth/user");
  await platform.call("PUT", "api/_private/projects/acme", { project: { title: "Acme Insurance", description: "Mail of the service desks in Hamburg." }, user_ids: [user.id] });
  const { bucket } = await platform.call("PUT", "api/_private/buckets/acme/service-desks", { bucket: { bucket_type: "emails", title: "Service desks" } });
  await platform.call("PUT", "api/_private/buckets/acme/archive", { bucket: { bucket_type: "emails", title: "Archive 2025" } });
  const all = [...emails(count), newsletter("https://canary.invalid")];
  for (let at = 0; at < all.length; at += 100) {
    await platform.call("PUT", "api/_private/buckets/acme/service-desks/emails", { emails: all.slice(at, at + 100) });
  }
  await platform.call("PUT", "api/v1/sources/acme/desks", { source: { title: "Service desks", bucket_id: bucket.id, email_transform_tag: "generic.0.CONVKER5" } });
  const folders = ["Inbox", "Inbox/Claims", "Inbox/Invoices", "Sent Items", "Archive/2025"];
  for (const [place, [, mailbox]] of DESKS.entries()) {
    for (const [number, folder] of folders.entries()) {
      const done = place < 2 || number < 2;
      await platform.call("PUT", `api/_private/buckets/id:${bucket.id}/keyed-sync-state/${hex(`${mailbox}${folder}`)}`, {
        keyed_sync_state: {
          mailbox_name: mailbox, folder_id: hex(folder), folder_path: folder.split("/"), status: done ? "UP_TO_DATE" : "IN_PROGRESS",
          synced_until: new Date(Date.now() - number * DAY).toISOString(), last_synced_at: new Date().toISOString(),
        },
      });
    }
  }
  const config = {
    host: "https://exchange.example.com", auth_type: "ntlm", auth_user: "EXAMPLE\\svc-mail", auth_password: "correct horse battery staple",
    poll_frequency: 30, mailboxes: Object.fromEntries(DESKS.map(([, one]) => [one, { bucket: { owner: "acme", name: "service-desks" }, start_from: "bucket" }])),
  };
  const put = (/** @type {object} */ value) => platform.call("PUT", "api/v1/appliance-configs/acme/hamburg", `${JSON.stringify(value, null, 2)}\n`);
  await put({ ...config, poll_frequency: 15 });
  await put(config);
  for (const [username, permissions] of /** @type {const} */ ([["desk-lead", ["role-cm-project-admin"]], ["desk-reader", ["buckets-read", "sources-read"]]])) {
    await platform.call("PUT", "api/_private/users", { user: { username, email: `${username}@example.com`, global_permissions: [], organisation_permissions: { acme: permissions } } });
  }
  return { bucket, emails: all };
}
