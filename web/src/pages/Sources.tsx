/// Sources of a project: what turns raw mail into messages.

import { NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { endpoint, full, put } from "../api/client";
import { buckets as bucketsQuery, sources as sourcesQuery, transformTags } from "../api/queries";
import type { Bucket, NewSource as Fields, Source } from "../api/schema";
import { Dot } from "../parts/basics";
import { chosen, FormButton, Limited } from "../parts/forms";
import { number, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Listing, Row } from "../parts/Listing";
import { useMay } from "../parts/may";
import { conversion, sourceCount } from "../parts/source";
import { go, path, useNames } from "../router";

export const TAG = "generic.0.CONVKER5" satisfies Fields["email_transform_tag"];
export type Language = NonNullable<Fields["language"]>;
export const LANGUAGES = { en: "English", de: "German", xlm: "Several" } satisfies Record<Language, string>;

export default function Sources() {
  const { project } = useNames("project");
  const sources = useQuery(sourcesQuery(project));
  const buckets = useQuery({ ...bucketsQuery(project), retry: false }).data ?? [];
  const may = useMay(project);
  return (
    <Listing
      of={sources}
      project={project}
      title="Sources"
      about="A source turns raw mail into clean, threaded, searchable messages."
      make={may("sources-admin") && <NewSource project={project} buckets={buckets} />}
      icon="source"
      first={{
        title: "Make the first source",
        text: "Attached to a bucket, it reads every email that is there and each that comes, usually within seconds.",
        label: "The same with the official client",
        command: `re --endpoint ${endpoint} --token TOKEN create source ${project}/mail \\\n  --bucket ${project}/${buckets[0]?.name ?? "BUCKET"} --transform-tag ${TAG}`,
      }}
      row={(one) => <SourceRow key={one.id} source={one} bucket={buckets.find((bucket) => bucket.id === one.bucket_id)} />}
    />
  );
}

function SourceRow({ source, bucket }: { source: Source; bucket: Bucket | undefined }) {
  const count = useQuery(sourceCount(source)).data;
  const state = useQuery(conversion(source)).data;
  const busy = state !== undefined && (state.waiting > 0 || state.scanning);
  const from = !source.bucket_id ? "no bucket" : bucket ? `from ${bucket.owner}/${bucket.name}` : "from a bucket";
  return (
    <Row
      to={path`/p/${source.owner}/sources/${source.name}`}
      before={<Dot state={source.bucket_id ? (busy ? "live" : "good") : "none"} label={source.bucket_id ? (busy ? "Converting" : "Up to date") : "No bucket"} />}
      title={source.title || source.name}
      about={<>{from}{busy && <> · {number(state.waiting)} to convert</>} · changed <When time={source.updated_at} /></>}
      after={(
        <span style={{ textAlign: "right" }}>
          <span className="numbers" style={{ fontWeight: 640, display: "block" }}>{count === undefined ? "–" : number(count)}</span>
          <span style={{ fontSize: "0.8rem", color: "var(--mantine-color-dimmed)" }}>messages</span>
        </span>
      )}
    />
  );
}

function NewSource({ project, buckets }: { project: string; buckets: Bucket[] }) {
  const tags = useQuery(transformTags).data ?? [TAG];
  return (
    <FormButton
      label="New source"
      title="New source"
      submit="Create"
      icon={<Icon name="plus" size={16} />}
      act={({ name = "", title, description = "", language, bucket, tag }) => {
        const [email_transform_tag = TAG] = chosen(tag, tags);
        const [spoken = "en"] = chosen(language, Object.keys(LANGUAGES) as Language[]);
        const source = { ...(title && { title }), description, language: spoken, ...(bucket && { bucket_id: bucket, email_transform_tag }) };
        return put("/api/v1/sources/{source}", { path: { source: full(project, name) }, json: { source } });
      }}
      done={({ source }) => go(path`/p/${source.owner}/sources/${source.name}`)}
    >
      <Limited name="name" label="Name" description="Part of addresses and commands: letters, digits, - and _" required pattern="[A-Za-z0-9\-_]+" most={256} data-autofocus />
      <Limited name="title" label="Title" most={128} />
      <NativeSelect name="bucket" label="Bucket" description="Whose mail it reads" data={[...buckets.map((one) => ({ value: one.id, label: `${one.owner}/${one.name}` })), { value: "", label: "None, messages are uploaded" }]} />
      <NativeSelect name="tag" label="Transform tag" description="How emails become messages" data={tags} />
      <NativeSelect name="language" label="Language" data={Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))} />
      <Limited name="description" label="Description" most={16_384} lines />
    </FormButton>
  );
}
