/// A CSV file into a source: choose it, look at it, say which column is what, and see what became of it.

import { Button, FileInput, Group, NativeSelect, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { full, put } from "../api/client";
import type { Answer } from "../api/document";
import { roles as rolesQuery } from "../api/queries";
import { Empty, Failure, Head, Panel, Tile } from "../parts/basics";
import { useAction } from "../parts/forms";
import { number, plural } from "../parts/format";
import { useMay } from "../parts/may";
import { Link, path, useNames } from "../router";

type Found = Answer<"put", "/api/_private/sources/sniff-csv">;
type Done = Answer<"put", "/api/_private/sources/{source}/sync-csv">;

/// What a column can become, by the name of its parameter.
const USES = {
  "": "Leave out",
  text: "Text",
  timestamp: "Time",
  id: "Id",
  subject: "Subject",
  from: "Sender",
  to: "Recipients",
  cc: "Copies",
  bcc: "Blind copies",
  thread_id: "Thread",
  string: "User property",
  number: "User property, a number",
} as const;
type Use = keyof typeof USES;

/// Uses that several columns may have.
const MANY = new Set<Use>(["", "string", "number"]);

const DELIMITERS: Record<string, string> = { ",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars" };

/// What names of columns are made of, in the order in which they are looked for.
const NAMES: [Use, RegExp][] = [
  ["id", /^(message|comment|ticket|case|verbatim)?[ _-]?id$/i],
  ["thread_id", /thread|conversation/i],
  ["subject", /subject|betreff|title|objet|asunto/i],
  ["from", /^(from|sender|von|de)\b/i],
  ["to", /^(to|recipients?|an)$/i],
  ["cc", /^cc$/i],
  ["bcc", /^bcc$/i],
];

/// What each column most likely is: by its name, and by what is in it.
function guess({ columns, kinds }: Found): Use[] {
  const uses = columns.map<Use>((name, at) => {
    const kind = kinds[at];
    if (kind === "empty") return "";
    return NAMES.find(([, names]) => names.test(name))?.[0] ?? (kind === "number" ? "number" : "string");
  });
  const take = (use: Use, kind: string, names: RegExp) => {
    const free = columns.map((name, at) => ({ name, at })).filter(({ at }) => MANY.has(uses[at] ?? ""));
    const chosen = free.find(({ name, at }) => names.test(name) && kinds[at] !== "empty") ?? free.find(({ at }) => kinds[at] === kind);
    if (chosen) uses[chosen.at] = use;
  };
  take("timestamp", "date", /date|time|datum|fecha|created|sent/i);
  take("text", "text", /body|text|message|comment|verbatim|feedback|description/i);
  // One column for each use; others become properties.
  return uses.map((use, at) => (MANY.has(use) || uses.indexOf(use) === at ? use : "string"));
}

export default function CsvPage() {
  const names = useNames("project", "source");
  const at = `/p/${encodeURIComponent(names.project)}`;
  // As long as nobody knows, the page looks as it does to most who come here.
  const isKnown = useQuery({ ...rolesQuery, retry: false }).isFetched;
  const mayUpload = useMay(names.project)("sources-add-comments") || !isKnown;
  const [file, setFile] = useState<File | null>(null);
  const sniff = useAction((chosen: File) => put("/api/_private/sources/sniff-csv", { file: chosen }));
  const choose = (chosen: File | null) => {
    setFile(chosen);
    sniff.reset();
    if (chosen) sniff.mutate(chosen);
  };
  const crumbs = [
    { title: "Projects", to: "/" }, { title: names.project, to: at }, { title: "Sources", to: `${at}/sources` },
    { title: names.source, to: path`/p/${names.project}/sources/${names.source}` },
  ];
  return (
    <>
      <Head title="Upload a CSV" crumbs={crumbs} about="Every row becomes a message of this source. The first line of the file names its columns." />
      <div className="column">
        {mayUpload ? (
          <Panel title="File">
            <FileInput label="CSV file" placeholder="Choose a file" description="At most 32 MiB and 65,536 rows" accept=".csv,.tsv,.txt,text/csv" value={file} onChange={choose} clearable clearButtonProps={{ "aria-label": "Remove the file" }} />
            {sniff.error !== null && <Failure error={sniff.error} />}
          </Panel>
        ) : <Panel><Empty icon="source" title="Not for you to upload">Whoever administers {names.project} can give you the permission “sources-add-comments”.</Empty></Panel>}
        {file && sniff.data && <Mapped key={`${file.name} ${file.lastModified}`} file={file} found={sniff.data} names={names} />}
      </div>
    </>
  );
}

function Mapped({ file, found, names }: { file: File; found: Found; names: { project: string; source: string } }) {
  const [uses, setUses] = useState(() => guess(found));
  const [order, setOrder] = useState("");
  const problems = useId();
  const upload = useAction(() => {
    const column = (use: Use) => found.columns[uses.indexOf(use)];
    const all = (use: Use) => found.columns.filter((_, at) => uses[at] === use);
    const optional = (["id", "subject", "from", "to", "cc", "bcc", "thread_id"] as const)
      .flatMap((use) => (uses.includes(use) ? [[use, column(use)]] : []));
    return put("/api/_private/sources/{source}/sync-csv", {
      path: { source: full(names.project, names.source) },
      query: {
        text: column("text") ?? "", timestamp: column("timestamp") ?? "", ...(Object.fromEntries(optional) as Partial<Record<Use, string>>),
        string: all("string"), number: all("number"),
        encoding: found.encoding, delimiter: found.delimiter as "," | ";" | "\t" | "|",
        ...(order && { date_order: order as "dmy" | "mdy" }),
      },
      file,
    });
  });
  const change = (at: number, use: Use) => {
    upload.reset();
    // A use that only one column can have is taken from the other.
    setUses(uses.map((own, other) => (other === at ? use : own === use && !MANY.has(use) ? "" : own)));
  };
  const missing = (["text", "timestamp"] as const).filter((use) => !uses.includes(use)).map((use) => USES[use]);
  if (upload.data) return <Result done={upload.data} names={names} />;
  return (
    <>
      <Panel title="Columns" aside={<Text size="sm" c="dimmed">{found.encoding}, separated by {DELIMITERS[found.delimiter] ?? found.delimiter}</Text>}>
        <Table.ScrollContainer minWidth={Math.max(320, found.columns.length * 170)} tabIndex={0} role="region" aria-label="The first rows of the file">
          <Table verticalSpacing="xs">
            <Table.Thead>
              <Table.Tr>
                {found.columns.map((name, at) => (
                  <Table.Th key={at} scope="col">
                    <NativeSelect
                      label={name || `Column ${at + 1}`}
                      value={uses[at] ?? ""}
                      data={Object.entries(USES).map(([value, label]) => ({ value, label }))}
                      onChange={(event) => change(at, event.currentTarget.value as Use)}
                      size="xs"
                    />
                  </Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.rows.map((row, line) => (
                <Table.Tr key={line}>{row.map((value, at) => <Table.Td key={at} style={{ verticalAlign: "top" }}><Text size="sm" lineClamp={3}>{value}</Text></Table.Td>)}</Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
        {found.rows.length === 0 && <Text c="dimmed">The file has no rows below its first line.</Text>}
      </Panel>
      <Panel title="Upload">
        <NativeSelect
          label="Dates such as 02/03/2026"
          description="Times without a zone are taken for UTC"
          data={[{ value: "", label: "There are none" }, { value: "dmy", label: "2 March: the day comes first" }, { value: "mdy", label: "3 February: the month comes first" }]}
          value={order}
          onChange={(event) => { setOrder(event.currentTarget.value); upload.reset(); }}
          maw={360}
        />
        <Text id={problems} size="sm" c="dimmed" mt="sm" role="status">
          {missing.length > 0 ? `Say which column is: ${missing.join(", ")}.` : uses.includes("id") ? "Messages of the same id are replaced." : "No column is the id: a row that is there already is not added again."}
        </Text>
        {upload.error !== null && <Failure error={upload.error} />}
        <Group mt="md">
          <Button onClick={() => upload.mutate(undefined)} loading={upload.isPending} disabled={missing.length > 0} aria-describedby={problems}>Upload</Button>
        </Group>
      </Panel>
    </>
  );
}

function Result({ done, names }: { done: Done; names: { project: string; source: string } }) {
  return (
    <Panel title="Uploaded">
      <div className="tiles" role="status">
        <Tile name="New" value={number(done.new)} />
        <Tile name="Updated" value={number(done.updated)} note={done.updated > 0 ? `${plural(done.updated_text_changed, "text")} changed` : ""} />
        <Tile name="Unchanged" value={number(done.unchanged)} />
      </div>
      <Text mt="md"><Link className="text" to={path`/p/${names.project}/sources/${names.source}`}>To the messages of {names.source}</Link></Text>
    </Panel>
  );
}
