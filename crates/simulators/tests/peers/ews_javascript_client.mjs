// Reads a folder of the simulated Exchange with ews-javascript-api and compares it with the truth.
//
// Argument: a JSON file with the address of the server, how to sign in, and what is true.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const task = JSON.parse(readFileSync(process.argv[2], "utf8"));
const require = createRequire(task.modules + "/");
const ews = require("ews-javascript-api");

function fail(message) {
  console.error(message);
  process.exit(1);
}

const service = new ews.ExchangeService(ews.ExchangeVersion.Exchange2013);
service.Credentials = new ews.WebCredentials(task.user, task.password);
service.Url = new ews.Uri(task.url);
const inbox = new ews.FolderId(ews.WellKnownFolderName.Inbox, new ews.Mailbox(task.mailbox));

const found = new Set();
let state = null;
let more = true;
while (more) {
  const changes = await service.SyncFolderItems(
    inbox,
    ews.PropertySet.IdOnly,
    [],
    10,
    ews.SyncFolderItemsScope.NormalItems,
    state,
  );
  for (const change of changes.GetEnumerator()) found.add(change.ItemId.UniqueId);
  state = changes.SyncState;
  more = changes.MoreChangesAvailable;
}
const expected = task.truth.filter((item) => item.folder_id === task.inbox);
if (found.size !== expected.length) fail(`listed ${found.size} of ${expected.length} items`);

const properties = new ews.PropertySet(ews.BasePropertySet.IdOnly, [ews.ItemSchema.MimeContent]);
for (const item of expected) {
  if (!found.has(item.id)) fail(`${item.id} was not listed`);
  const message = await ews.EmailMessage.Bind(service, new ews.ItemId(item.id), properties);
  const bytes = Buffer.from(message.MimeContent.Content, "base64");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (sha256 !== item.sha256) fail(`the content of ${item.id} is another one`);
}
console.log(`passed: ${expected.length} messages byte for byte`);
