/// A project at a glance: how much mail, from where, how far.

import { useQueries, useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { endpoint, full, put, remove } from "../api/client";
import { buckets as bucketsQuery, counts, emailCount, projects, sources as sourcesQuery, syncStates } from "../api/queries";
import type { Bucket } from "../api/schema";
import { Await, Bar, Command, Description, Dot, Empty, Head, Panel, Tile } from "../parts/basics";
import { FormButton, Limited, SureButton } from "../parts/forms";
import { number, plural, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { useMay, useMayEverywhere } from "../parts/may";
import { progress } from "../parts/sync";
import { go, Link, useNames } from "../router";

const VolumeChart = lazy(() => import("../charts/BucketVolume"));

export default function ProjectPage() {
  const { project: name } = useNames("project");
  const project = useQuery(projects).data?.find((one) => one.name === name);
  const buckets = useQuery(bucketsQuery(name));
  const mayManage = useMayEverywhere("projects-admin");
  const may = useMay(name);
  const mayMake = may("buckets-write");
  const count = useQuery(counts(name)).data;
  const sources = useQuery({ ...sourcesQuery(name), retry: false }).data;
  const list = buckets.data ?? [];
  const emails = useQueries({ queries: list.map((bucket) => emailCount(bucket.id)) });
  const states = useQueries({ queries: list.map((bucket) => syncStates(bucket.id)) });
  const total = emails.reduce((sum, one) => sum + (one.data?.value ?? 0), 0);
  const all = states.flatMap((one) => one.data ?? []);
  const mailboxes = new Set(all.map((state) => state.mailbox_name)).size;
  const busy = new Set(all.filter((state) => state.status === "IN_PROGRESS").map((state) => state.mailbox_name)).size;
  const at = `/p/${encodeURIComponent(name)}`;
  return (
    <>
      <Head title={project?.title || name} crumbs={[{ title: "Projects", to: "/" }]} about={project?.description ? <Description text={project.description} /> : name}>
        {mayManage && <DeleteProject name={name} />}
        {mayMake && <NewBucket project={name} />}
      </Head>
      <Await of={buckets}>
        {() => list.length === 0 ? <First project={name} mayMake={mayMake} /> : (
          <div className="column">
            <div className="tiles">
              <Tile name="Emails" value={<span data-testid="emails">{number(total)}</span>} />
              <Tile name="Mailboxes" value={number(mailboxes)} note={busy > 0 ? `${number(busy)} catching up` : mailboxes > 0 ? "all up to date" : ""} />
              <Tile name="Buckets" value={number(list.length)} />
              {sources && <Tile name="Sources" value={number(sources.length)} />}
              <Tile name="People" value={number(count?.users_with_permissions ?? 0)} />
            </div>
            <Panel title="Buckets" flush>
              <ul className="rows">
                {list.map((bucket, place) => (
                  <li key={bucket.id}><Row bucket={bucket} emails={emails[place]?.data?.value} states={states[place]?.data ?? []} /></li>
                ))}
              </ul>
            </Panel>
            {total > 0 && (
              <Suspense fallback={null}><VolumeChart buckets={list} /></Suspense>
            )}
            {sources?.length === 0 && total > 0 && may("sources-admin") && (
              <Panel>
                <Empty icon="source" title="Make the mail readable" action={<Link className="text" to={`${at}/sources`}>Attach a source</Link>}>
                  A source turns each raw email of a bucket into a clean, threaded, searchable message.
                </Empty>
              </Panel>
            )}
          </div>
        )}
      </Await>
    </>
  );
}

function Row({ bucket, emails, states }: { bucket: Bucket; emails: number | undefined; states: Parameters<typeof progress>[0] }) {
  const { done, all, mailboxes, last } = progress(states);
  const state = all === 0 ? "none" : done === all ? "good" : "live";
  const words = all === 0 ? "No appliance yet" : done === all ? "Up to date" : "Catching up";
  return (
    <Link className="row" to={`/p/${encodeURIComponent(bucket.owner)}/buckets/${encodeURIComponent(bucket.name)}`}>
      <Dot state={state} label={words} />
      <div style={{ flex: 1, minWidth: 0 }}>
        <div style={{ fontWeight: 600 }} className="clip">{bucket.title || bucket.name}</div>
        <div style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }} className="clip">
          {all === 0 ? <>{bucket.owner}/{bucket.name}</> : <>{plural(mailboxes, "mailbox", "mailboxes")} · {words.toLowerCase()} · heard of <When time={last} /></>}
        </div>
        {all > 0 && done < all && <div style={{ marginTop: 7, maxWidth: 320 }}><Bar part={done} of={all} label={`${bucket.name}: folders that are up to date`} /></div>}
      </div>
      <div style={{ textAlign: "right" }}>
        <div className="numbers" style={{ fontWeight: 640 }}>{emails === undefined ? "–" : number(emails)}</div>
        <div style={{ fontSize: "0.8rem", color: "var(--mantine-color-dimmed)" }}>emails</div>
      </div>
      <span style={{ color: "var(--mantine-color-dimmed)" }} className="only-large"><Icon name="chevron" /></span>
    </Link>
  );
}

function NewBucket({ project }: { project: string }) {
  return (
    <FormButton
      label="New bucket"
      title="New bucket"
      submit="Create"
      icon={<Icon name="plus" size={16} />}
      act={({ name = "", title }) => put("/api/_private/buckets/{bucket}", {
        path: { bucket: full(project, name) }, json: { bucket: { bucket_type: "emails", ...(title && { title }) } },
      })}
      done={({ bucket }) => go(`/p/${encodeURIComponent(bucket.owner)}/buckets/${encodeURIComponent(bucket.name)}`)}
    >
      <Limited name="name" label="Name" description="Part of addresses and commands: letters, digits, - and _" required pattern="[A-Za-z0-9\-_]+" most={256} data-autofocus />
      <Limited name="title" label="Title" most={128} />
    </FormButton>
  );
}

function DeleteProject({ name }: { name: string }) {
  return (
    <SureButton
      label="Delete"
      title={`Delete the project ${name}?`}
      act={() => remove("/api/_private/projects/{project}", { path: { project: name }, query: { force: true } })}
      done={() => go("/")}
      said={`The project ${name} is gone.`}
    >
      Its buckets, all of their mail, sources and configurations go with it. Nobody can bring them back.
    </SureButton>
  );
}

function First({ project, mayMake }: { project: string; mayMake: boolean }) {
  if (!mayMake) {
    return (
      <Panel>
        <Empty icon="bucket" title="No buckets yet">A bucket is where raw mail is kept. Whoever administers {project} can make one.</Empty>
      </Panel>
    );
  }
  return (
    <Panel>
      <Empty icon="bucket" title="Make the first bucket" action={(
        <>
          <NewBucket project={project} />
          <Command label="The same with the official client" text={`re --endpoint ${endpoint} --token TOKEN create bucket ${project}/mail`} />
        </>
      )}>
        A bucket is where raw mail is kept: the appliance fills it from mailboxes, the official client from files.
      </Empty>
    </Panel>
  );
}
