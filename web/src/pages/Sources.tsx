/// Sources of a project: what turns raw mail into messages.

import { NativeSelect, Textarea, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { endpoint, path, put } from "../api/client";
import { buckets as bucketsQuery, sources as sourcesQuery } from "../api/queries";
import type { Bucket, Source } from "../api/types";
import { Await, Command, Empty, Head, Panel } from "../parts/basics";
import { FormButton } from "../parts/forms";
import { number, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { conversion, sourceCount } from "../parts/source";
import { Dot } from "../parts/basics";
import { go, Link, useNames } from "../router";

export const TAG = "generic.0.CONVKER5";

export default function Sources() {
  const { project } = useNames("project");
  const sources = useQuery(sourcesQuery(project));
  const buckets = useQuery({ ...bucketsQuery(project), retry: false }).data ?? [];
  const at = `/p/${encodeURIComponent(project)}`;
  return (
    <>
      <Head title="Sources" crumbs={[{ title: "Projects", to: "/" }, { title: project, to: at }]} about="A source turns raw mail into clean, threaded, searchable messages.">
        <NewSource project={project} buckets={buckets} />
      </Head>
      <Await of={sources}>
        {(list) => list.length === 0 ? (
          <Panel>
            <Empty icon="source" title="Make the first source" action={(
              <>
                <NewSource project={project} buckets={buckets} />
                <Command label="The same with the official client" text={`re --endpoint ${endpoint} --token TOKEN create source ${project}/mail \\\n  --bucket ${project}/${buckets[0]?.name ?? "BUCKET"} --transform-tag ${TAG}`} />
              </>
            )}>
              Attached to a bucket, it reads every email that is there and each that comes, usually within seconds.
            </Empty>
          </Panel>
        ) : (
          <Panel flush>
            <ul className="rows">
              {list.map((source) => <li key={source.id}><Row source={source} bucket={buckets.find((one) => one.id === source.bucket_id)} /></li>)}
            </ul>
          </Panel>
        )}
      </Await>
    </>
  );
}

function Row({ source, bucket }: { source: Source; bucket: Bucket | undefined }) {
  const count = useQuery(sourceCount(source)).data;
  const state = useQuery(conversion(source)).data;
  const busy = state !== undefined && (state.waiting > 0 || state.scanning);
  return (
    <Link className="row" to={path`/p/${source.owner}/sources/${source.name}`}>
      <Dot state={source.bucket_id ? (busy ? "live" : "good") : "none"} label={source.bucket_id ? (busy ? "Converting" : "Up to date") : "No bucket"} />
      <span style={{ flex: 1, minWidth: 0 }}>
        <span style={{ fontWeight: 600, display: "block" }} className="clip">{source.title || source.name}</span>
        <span style={{ display: "block", fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }} className="clip">
          {source.bucket_id ? <>from {bucket ? `${bucket.owner}/${bucket.name}` : "a bucket"}</> : "no bucket"}
          {busy && <> · {number(state.waiting)} to convert</>} · changed <When time={source.updated_at} />
        </span>
      </span>
      <span style={{ textAlign: "right" }}>
        <span className="numbers" style={{ fontWeight: 640, display: "block" }}>{count === undefined ? "–" : number(count)}</span>
        <span style={{ fontSize: "0.8rem", color: "var(--mantine-color-dimmed)" }}>messages</span>
      </span>
    </Link>
  );
}

function NewSource({ project, buckets }: { project: string; buckets: Bucket[] }) {
  return (
    <FormButton
      label="New source"
      title="New source"
      submit="Create"
      icon={<Icon name="plus" size={16} />}
      act={(values) => put<{ source: Source }>(path`api/v1/sources/${project}/${values["name"] ?? ""}`, {
        source: {
          title: values["title"] || values["name"],
          description: values["description"],
          language: values["language"],
          ...(values["bucket"] ? { bucket_id: values["bucket"], email_transform_tag: values["tag"] } : {}),
        },
      })}
      done={({ source }) => go(path`/p/${source.owner}/sources/${source.name}`)}
    >
      <TextInput name="name" label="Name" description="Part of addresses and commands: letters, digits, - and _" required pattern="[A-Za-z0-9\-_]+" maxLength={256} data-autofocus />
      <TextInput name="title" label="Title" maxLength={128} />
      <NativeSelect name="bucket" label="Bucket" description="Whose mail it reads" data={[...buckets.map((one) => ({ value: one.id, label: `${one.owner}/${one.name}` })), { value: "", label: "None, messages are uploaded" }]} />
      <TextInput name="tag" label="Transform tag" description="How emails become messages" defaultValue={TAG} />
      <NativeSelect name="language" label="Language" data={[{ value: "en", label: "English" }, { value: "de", label: "German" }, { value: "xlm", label: "Several" }]} />
      <Textarea name="description" label="Description" maxLength={4096} autosize minRows={2} />
    </FormButton>
  );
}
