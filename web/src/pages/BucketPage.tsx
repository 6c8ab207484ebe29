/// A bucket: how far each mailbox and folder is, how much mail came when, and the newest of it.

import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { endpoint, post, remove } from "../api/client";
import { bucket as bucketQuery, emailCount, sources as sourcesQuery, syncStates } from "../api/queries";
import type { Bucket } from "../api/schema";
import { Await, Bar, Command, Dot, Empty, Head, Panel, Tile } from "../parts/basics";
import { SureButton } from "../parts/forms";
import { day, Moment, number, plural, size, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { useMay } from "../parts/may";
import { byMailbox, progress, type Mailbox } from "../parts/sync";
import { go, Link, path, useNames } from "../router";

const VolumeChart = lazy(() => import("../charts/BucketVolume"));

export default function BucketPage() {
  const names = useNames("project", "bucket");
  const found = useQuery(bucketQuery(names.project, names.bucket));
  const may = useMay(names.project);
  const at = `/p/${encodeURIComponent(names.project)}`;
  const crumbs = [{ title: "Projects", to: "/" }, { title: names.project, to: at }];
  return (
    <>
      <Head title={found.data?.title || names.bucket} crumbs={crumbs} about={`${names.project}/${names.bucket}`}>
        {found.data && may("buckets-write") && <Delete bucket={found.data} />}
      </Head>
      <Await of={found}>{(bucket) => <Contents bucket={bucket} may={may} />}</Await>
    </>
  );
}

function Contents({ bucket, may }: { bucket: Bucket; may: (permission: string) => boolean }) {
  const count = useQuery(emailCount(bucket.id));
  const states = useQuery(syncStates(bucket.id));
  const sources = useQuery({ ...sourcesQuery(bucket.owner), retry: false }).data?.filter((one) => one.bucket_id === bucket.id);
  const emails = count.data?.value ?? 0;
  const boxes = byMailbox(states.data ?? []);
  const { done, all, last } = progress(states.data ?? []);
  const at = `/p/${encodeURIComponent(bucket.owner)}`;
  if (count.data && states.data && emails === 0 && boxes.length === 0) return <First bucket={bucket} mayFill={may("buckets-append")} />;
  return (
    <div className="column">
      <div className="tiles">
        <Tile name="Emails" value={<span data-testid="emails">{number(emails)}</span>} />
        <Tile name="Mailboxes" value={number(boxes.length)} note={boxes.length > 0 ? <>heard of <When time={last} /></> : ""} />
        <Tile name="Folders up to date" value={<>{number(done)} <small>of {number(all)}</small></>} />
        <Tile
          name="Sources"
          value={number(sources?.length ?? 0)}
          note={sources?.length === 0 ? may("sources-admin") && <Link className="text" to={`${at}/sources`}>attach one</Link> : sources?.[0] && <Link className="text" to={`${at}/sources/${encodeURIComponent(sources[0].name)}`}>{sources[0].name}</Link>}
        />
      </div>
      {emails > 0 && <Suspense fallback={null}><VolumeChart buckets={[bucket]} /></Suspense>}
      <Panel title="Sync" flush aside={<Live />}>
        <Await of={states}>
          {() => boxes.length === 0 ? (
            <Empty icon="mail" title="No appliance fills this bucket yet" action={may("buckets-append") && <Appliance bucket={bucket} />}>
              Mail that the official client uploads is here all the same. {may("buckets-append") && "To keep up with mailboxes, run the appliance:"}
            </Empty>
          ) : <ul className="rows">{boxes.map((box) => <li key={box.name}><MailboxRow box={box} /></li>)}</ul>}
        </Await>
      </Panel>
      {emails > 0 && <Newest bucket={bucket} />}
    </div>
  );
}

const Live = () => (
  <span style={{ display: "inline-flex", alignItems: "center", gap: 8, fontSize: "0.82rem", color: "var(--mantine-color-dimmed)" }}>
    <Dot state="live" label="This is kept up to date" /> live
  </span>
);

function MailboxRow({ box }: { box: Mailbox }) {
  const [open, setOpen] = useState(false);
  const id = `folders-${box.name}`;
  return (
    <>
      <button type="button" className="row" aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        <Dot state={box.upToDate ? "good" : "live"} label={box.upToDate ? "Up to date" : "Catching up"} />
        <span style={{ flex: 1, minWidth: 0 }}>
          <span style={{ fontWeight: 600, display: "block" }} className="clip">{box.name}</span>
          <span style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>
            {box.upToDate ? "Up to date" : "Catching up"}
            {box.folders.length > 0 && <> · {number(box.done)} of {plural(box.folders.length, "folder")}</>}
            {box.until !== null && <> · mail until {day(box.until)}</>}
          </span>
          {!box.upToDate && box.folders.length > 0 && (
            <span style={{ display: "block", marginTop: 7, maxWidth: 360 }}><Bar part={box.done} of={box.folders.length} label={`${box.name}: folders that are up to date`} /></span>
          )}
        </span>
        <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}><When time={box.last} /></span>
        <span style={{ color: "var(--mantine-color-dimmed)", transform: open ? "rotate(90deg)" : "none", transition: "transform 120ms", display: "inline-flex" }}><Icon name="chevron" /></span>
      </button>
      {open && (
        <ul id={id} className="rows" style={{ background: "var(--app-background)", borderTop: "1px solid var(--app-line)" }}>
          {box.folders.length === 0 && <li className="row" style={{ paddingLeft: 44 }}>This mailbox reports no folders.</li>}
          {box.folders.map((folder) => (
            <li key={folder.folder_id} className="row" style={{ padding: "8px 20px 8px 44px" }}>
              <Dot state={folder.status === "UP_TO_DATE" ? "good" : "live"} label={folder.status === "UP_TO_DATE" ? "Up to date" : "Catching up"} />
              <span style={{ flex: 1, minWidth: 0, fontSize: "0.88rem" }} className="breakable">{folder.folder_path?.join(" / ") || "(no name)"}</span>
              <span style={{ fontSize: "0.8rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}><When time={folder.last_synced_at} /></span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Newest({ bucket }: { bucket: Bucket }) {
  const emails = useQuery({
    queryKey: ["buckets", bucket.id, "newest"],
    queryFn: async ({ signal }) => {
      const to = new Date(Date.now() + 86_400_000).toISOString();
      const from = new Date(Date.now() - 30 * 86_400_000).toISOString();
      const given = { path: { bucket: `id:${bucket.id}` }, json: { limit: 8, from_timestamp: from, to_timestamp: to }, signal };
      return (await post("/api/_private/buckets/{bucket}/emails/query", given)).emails;
    },
    retry: false,
  });
  if (!emails.data || emails.data.length === 0) return null;
  return (
    <Panel title="Emails of the last 30 days" flush>
      <ul className="rows">
        {emails.data.map((email) => (
          <li key={email.id} className="row">
            <span style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="mail" /></span>
            <span style={{ flex: 1, minWidth: 0 }}>
              <span className="clip" style={{ display: "block", fontSize: "0.9rem" }}>{email.id}</span>
              <span className="clip" style={{ display: "block", fontSize: "0.82rem", color: "var(--mantine-color-dimmed)" }}>
                {email.mailbox}{email.metadata?.folder?.length ? ` · ${email.metadata.folder.join(" / ")}` : ""}{email.metadata?.size ? ` · ${size(email.metadata.size)}` : ""}
              </span>
            </span>
            <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}><Moment time={email.timestamp} /></span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

const Appliance = ({ bucket }: { bucket: Bucket }) => (
  <Command
    label="Run the appliance"
    text={`export REINFER_API_TOKEN=…   # from “Your account”, with buckets-read and buckets-append\nreinfer-ews --reinfer-api-endpoint ${endpoint}/api/ \\\n  --remote-config-owner ${bucket.owner} --remote-config-key CONFIGURATION`}
  />
);

function First({ bucket, mayFill }: { bucket: Bucket; mayFill: boolean }) {
  if (!mayFill) {
    return (
      <Panel>
        <Empty icon="mail" title="No mail yet">Whoever administers {bucket.owner} can upload some, or have an appliance fill this bucket.</Empty>
      </Panel>
    );
  }
  return (
    <Panel>
      <Empty icon="mail" title="Let mail flow in" action={(
        <>
          <Command label="Upload files" text={`re --endpoint ${endpoint} --token TOKEN parse emls --dir mail/ --bucket ${bucket.owner}/${bucket.name} --yes`} />
          <Appliance bucket={bucket} />
          <p style={{ marginTop: 18 }}>
            The appliance reads its <Link className="text" to={`/p/${encodeURIComponent(bucket.owner)}/configurations`}>configuration</Link> from here;
            a token is made in <Link className="text" to="/account">your account</Link>.
          </p>
        </>
      )}>
        This bucket is empty. Upload a folder of emails, or point the appliance at it:
      </Empty>
    </Panel>
  );
}

const Delete = ({ bucket }: { bucket: Bucket }) => (
  <SureButton
    label="Delete"
    title={`Delete the bucket ${bucket.owner}/${bucket.name}?`}
    act={() => remove("/api/_private/buckets/{bucket}", { path: { bucket: `id:${bucket.id}` } })}
    done={() => go(path`/p/${bucket.owner}`)}
    said={`The bucket ${bucket.name} is gone.`}
  >
    All of its mail and its sync states go with it. An appliance that still fills it will be refused.
  </SureButton>
);
