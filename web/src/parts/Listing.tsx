/// A page that lists what a project has of one kind: a button for one more, and what to do while there is none.

import type { ComponentProps, ReactNode } from "react";
import { Link, path } from "../router";
import { Await, Command, Empty, Head, Panel } from "./basics";
import { Icon, type IconName } from "./Icon";

export function Listing<One>({ of, project, title, about, make, icon, first, row }: {
  of: ComponentProps<typeof Await<One[]>>["of"];
  project: string;
  title: string;
  about: string;
  /// Nothing for those who may not make one.
  make: ReactNode;
  icon: IconName;
  /// Said as long as there is none, with the command that makes one.
  first: { title: string; text: string; label: string; command: string };
  /// A `Row`, with the key of the one.
  row: (one: One) => ReactNode;
}) {
  return (
    <>
      <Head title={title} crumbs={[{ title: "Projects", to: "/" }, { title: project, to: path`/p/${project}` }]} about={about}>{make}</Head>
      <Await of={of}>
        {(list) => (
          <Panel flush={list.length > 0}>
            {list.length > 0 ? <ul className="rows">{list.map(row)}</ul> : (
              make
                ? <Empty icon={icon} title={first.title} action={<>{make}<Command label={first.label} text={first.command} /></>}>{first.text}</Empty>
                : <Empty icon={icon} title={`No ${title.toLowerCase()} yet`}>{first.text} Whoever administers {project} can make one.</Empty>
            )}
          </Panel>
        )}
      </Await>
    </>
  );
}

/// One of them: what it is called, what there is to know of it, and what stands before and after.
export function Row({ to, before, title, badge, about, after }: {
  to: string;
  before: ReactNode;
  title: string;
  badge?: ReactNode;
  about: ReactNode;
  after?: ReactNode;
}) {
  return (
    <li>
      <Link className="row" to={to}>
        {before}
        <span style={{ flex: 1, minWidth: 0 }}>
          <span style={{ display: "flex", gap: 8, alignItems: "center" }}>
            <span className="clip" style={{ fontWeight: 600 }}>{title}</span>
            {badge && <span style={{ flex: "none" }}>{badge}</span>}
          </span>
          <span className="clip" style={{ display: "block", fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>{about}</span>
        </span>
        {after}
        <span className="only-large" style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="chevron" /></span>
      </Link>
    </li>
  );
}
