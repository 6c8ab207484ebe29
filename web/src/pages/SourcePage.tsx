/// A source: how far it is, its settings, and its newest messages, which appear as they come.

import { Button, Group, NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { endpoint, full, post, remove } from "../api/client";
import { buckets as bucketsQuery, transformTags } from "../api/queries";
import type { Bucket, Comment, Conversion, Source } from "../api/schema";
import { Await, Bar, Command, Description, Dot, Empty, Failure, Head, Panel, Tile } from "../parts/basics";
import { chosen, FormButton, Limited, SureButton, useAction } from "../parts/forms";
import { number, plural, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Letter } from "../parts/Letter";
import { address, nameOf } from "../parts/mail";
import { useMay } from "../parts/may";
import { commentPage, conversion, newest, source as sourceQuery, sourceCount } from "../parts/source";
import { go, Link, path, useNames } from "../router";
import { LANGUAGES, type Language, TAG } from "./Sources";

type May = ReturnType<typeof useMay>;

export default function SourcePage() {
  const names = useNames("project", "source");
  const found = useQuery(sourceQuery(names.project, names.source));
  const buckets = useQuery({ ...bucketsQuery(names.project), retry: false }).data ?? [];
  const may = useMay(names.project);
  const at = `/p/${encodeURIComponent(names.project)}`;
  const crumbs = [{ title: "Projects", to: "/" }, { title: names.project, to: at }, { title: "Sources", to: `${at}/sources` }];
  return (
    <>
      <Head title={found.data?.title || names.source} crumbs={crumbs} about={found.data?.description ? <Description text={found.data.description} /> : `${names.project}/${names.source}`}>
        {found.data && <Actions source={found.data} buckets={buckets} may={may} />}
      </Head>
      <Await of={found}>{(source) => <Contents source={source} bucket={buckets.find((one) => one.id === source.bucket_id)} may={may} />}</Await>
    </>
  );
}

function Contents({ source, bucket, may }: { source: Source; bucket: Bucket | undefined; may: May }) {
  const count = useQuery(sourceCount(source)).data;
  const state = useQuery(conversion(source)).data;
  const comments = useQuery(newest(source.owner, source.name));
  const busy = state !== undefined && (state.waiting > 0 || state.scanning);
  return (
    <div className="column">
      <div className="tiles">
        <Tile name="Messages" value={<span data-testid="messages">{count === undefined ? "–" : number(count)}</span>} />
        <Tile name="Bucket" value={bucket ? <Link className="text" to={path`/p/${bucket.owner}/buckets/${bucket.name}`}>{bucket.name}</Link> : source.bucket_id ? "Not listed" : "None"} />
        <Tile
          name="Conversion"
          value={source.bucket_id ? <span style={{ fontSize: "1.1rem" }}>{busy ? (state.waiting > 0 ? `${number(state.waiting)} waiting` : "Looking for mail") : "Up to date"}</span> : "–"}
          note={state && source.bucket_id ? `${number(state.converted)} of ${plural(state.total, "email")}` : ""}
        />
        <Tile name="Transform tag" value={<span style={{ fontSize: "0.95rem", fontWeight: 500 }} className="breakable">{source.email_transform_tag ?? "none"}</span>} />
      </div>
      {busy && state.total > 0 && <Bar part={state.converted} of={state.total} label="Emails that are converted" />}
      {state && state.quarantine.length > 0 && <Quarantine source={source} quarantine={state.quarantine} all={state.quarantined} mayRetry={may("sources-admin")} />}
      <Panel title="Newest messages" flush aside={<Link className="text" to={`/search?source=${source.id}&project=${encodeURIComponent(source.owner)}`}>Search all</Link>}>
        <Await of={comments}>
          {(list) => list.length === 0 ? <Nothing source={source} bucket={bucket} may={may} /> : (
            <ul className="rows" data-testid="newest">{list.map((one) => <li key={one.id}><CommentRow source={source} comment={one} /></li>)}</ul>
          )}
        </Await>
      </Panel>
    </div>
  );
}

export function CommentRow({ source, comment }: { source: { owner: string; name: string }; comment: Comment }) {
  const message = comment.messages[0];
  return (
    <Link className="row" to={commentPage(source.owner, source.name, comment.id)}>
      <Letter of={address(message?.from ?? "?")} name={nameOf(message?.from ?? "?")} />
      <span style={{ flex: 1, minWidth: 0 }}>
        <span className="clip" style={{ display: "block", fontWeight: 600 }}>{message?.subject?.text || "(no subject)"}</span>
        <span className="clip" style={{ display: "block", fontSize: "0.86rem", color: "var(--mantine-color-dimmed)" }}>
          {nameOf(message?.from ?? "")} — {message?.body.text.slice(0, 160)}
        </span>
      </span>
      {(comment.attachments?.length ?? 0) > 0 && <span title={plural(comment.attachments?.length ?? 0, "attachment")} style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="attachment" size={16} /></span>}
      <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}><When time={comment.timestamp} /></span>
    </Link>
  );
}

function Nothing({ source, bucket, may }: { source: Source; bucket: Bucket | undefined; may: May }) {
  const mayUpload = bucket ? may("buckets-append") : may("sources-add-comments");
  const upload = bucket
    ? `re --endpoint ${endpoint} --token TOKEN parse emls --dir mail/ --bucket ${bucket.owner}/${bucket.name} --yes`
    : `re --endpoint ${endpoint} --token TOKEN create comments --source ${source.owner}/${source.name} --file comments.jsonl`;
  return (
    <Empty icon="thread" title="No messages yet" action={mayUpload && <Command label="Upload" text={upload} />}>
      {source.bucket_id ? "As soon as there is mail in the bucket, messages appear here by themselves." : mayUpload ? "This source has no bucket: attach one in its settings, or upload messages, such as the rows of a CSV file." : "This source has no bucket, and nobody has uploaded messages."}
    </Empty>
  );
}

function Quarantine({ source, quarantine, all, mayRetry }: { source: Source; quarantine: Conversion["quarantine"]; all: number; mayRetry: boolean }) {
  const again = useAction(() => post("/api/_private/sources/{source}/conversion/retry", { path: { source: full(source.owner, source.name) }, json: {} }), "They are tried again.");
  return (
    <Panel title={`${plural(all, "email")} could not be converted`} flush aside={mayRetry && <Button size="xs" variant="default" onClick={() => again.mutate()} loading={again.isPending}>Try again</Button>}>
      {again.error !== null && <Failure error={again.error} />}
      <ul className="rows">
        {quarantine.map((one) => (
          <li key={one.email_id} className="row">
            <Dot state="bad" label="Not converted" />
            <span style={{ flex: 1, minWidth: 0 }}>
              <span className="breakable" style={{ display: "block", fontSize: "0.9rem" }}>{one.email_id}</span>
              <span className="breakable" style={{ display: "block", fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>{one.reason}</span>
            </span>
            <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}><When time={one.at} /></span>
          </li>
        ))}
      </ul>
      {all > quarantine.length && <p style={{ margin: 0, padding: "10px 16px", fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>Listed are the last {number(quarantine.length)}. {mayRetry && "Those before them are tried again as well."}</p>}
    </Panel>
  );
}

function Actions({ source, buckets, may }: { source: Source; buckets: Bucket[]; may: May }) {
  return (
    <Group gap="sm">
      {may("sources-add-comments") && <Button component={Link} to={path`/p/${source.owner}/sources/${source.name}/csv`} variant="default">Upload a CSV</Button>}
      {may("sources-admin") && (
        <>
          <SureButton
            label="Delete"
            title={`Delete the source ${source.owner}/${source.name}?`}
            act={() => remove("/api/v1/sources/{source}", { path: { source: `id:${source.id}` } })}
            done={() => go(path`/p/${source.owner}/sources`)}
            said={`The source ${source.name} is gone.`}
          >
            Its messages go with it. The raw mail stays in the bucket, and another source can be made of it.
          </SureButton>
          <Settings source={source} buckets={buckets} />
        </>
      )}
    </Group>
  );
}

function Settings({ source, buckets }: { source: Source; buckets: Bucket[] }) {
  const list = buckets.map((one) => ({ value: one.id, label: `${one.owner}/${one.name}` }));
  // What the source has stays what it has, though it may not be in the list: one that has not come yet, or has only
  // what one may see. A form whose choice is missing would say "None", and detach the bucket.
  if (source.bucket_id && !buckets.some((one) => one.id === source.bucket_id)) list.push({ value: source.bucket_id, label: "A bucket that is not listed" });
  const held = source.email_transform_tag ?? TAG;
  const tags = [...new Set([...(useQuery(transformTags).data ?? []), held])];
  return (
    <FormButton
      label="Settings"
      title="Settings of the source"
      submit="Save"
      variant="default"
      icon={<Icon name="config" size={16} />}
      said="Saved."
      act={({ title = "", description = "", language, bucket, tag }) => {
        const [spoken = source.language] = chosen(language, Object.keys(LANGUAGES) as Language[]);
        // A tag that the source has not yet is written with the first bucket, and not with another title: each
        // change of it converts everything anew.
        const isFirst = Boolean(bucket) && bucket !== source.bucket_id && !source.email_transform_tag;
        const [email_transform_tag] = chosen(tag, tags).filter((one) => isFirst || one !== held);
        const changed = { title, description, language: spoken, bucket_id: bucket || null, ...(email_transform_tag && { email_transform_tag }) };
        return post("/api/v1/sources/{source}", { path: { source: full(source.owner, source.name) }, json: { source: changed } });
      }}
    >
      <Limited name="title" label="Title" most={128} defaultValue={source.title} data-autofocus />
      <NativeSelect name="bucket" label="Bucket" defaultValue={source.bucket_id ?? ""} data={[{ value: "", label: "None" }, ...list]} />
      <NativeSelect name="tag" label="Transform tag" description="A change converts every email of the bucket anew" data={tags} defaultValue={held} />
      <NativeSelect name="language" label="Language" defaultValue={source.language} data={Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))} />
      <Limited name="description" label="Description" most={16_384} defaultValue={source.description} lines />
    </FormButton>
  );
}
