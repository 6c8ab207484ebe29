/// Small parts that every page is made of.

import { Alert, Button, CopyButton, Group, Skeleton, Stack } from "@mantine/core";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { ApiError } from "../api/client";
import { Link } from "../router";
import { Icon, type IconName } from "./Icon";

export interface Crumb {
  title: string;
  to: string;
}

/// A reader of the screen hears the title of each page but the first, which it reads anyway.
let isFirst = true;

/// Title of a page, the way to it, and what can be done there.
export function Head({ title, crumbs = [], children, about }: {
  title: string;
  crumbs?: Crumb[];
  children?: ReactNode;
  about?: ReactNode;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (isFirst) {
      isFirst = false;
      return;
    }
    // After dialogs have given the focus back.
    const timer = setTimeout(() => heading.current?.focus({ preventScroll: true }), 50);
    return () => clearTimeout(timer);
  }, []);
  return (
    <header className="head">
      <div style={{ flex: "1 1 20rem", minWidth: 0 }}>
        {crumbs.length > 0 && (
          <nav className="crumbs" aria-label="Way to this page">
            {crumbs.map((crumb) => (
              <span key={crumb.to}>
                <Link to={crumb.to}>{crumb.title}</Link> <span aria-hidden>/</span>
              </span>
            ))}
          </nav>
        )}
        <h1 tabIndex={-1} ref={heading}>{title}</h1>
        {about !== undefined && <div className="breakable" style={{ marginTop: 4, color: "var(--mantine-color-dimmed)" }}>{about}</div>}
      </div>
      {children !== undefined && <Group gap="sm">{children}</Group>}
    </header>
  );
}

/// What somebody wrote about it. Of much, the beginning: what the page is for stands below.
export function Description({ text }: { text: string }) {
  const [open, setOpen] = useState(false);
  const isLong = text.length > 480 || text.split("\n").length > 5;
  return (
    <>
      <div className="description" data-short={(isLong && !open) || undefined}>{text}</div>
      {isLong && <Button mt={6} size="compact-xs" variant="default" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Show less" : "Show all"}</Button>}
    </>
  );
}

export function Panel({ title, aside, children, flush = false }: {
  title?: string;
  aside?: ReactNode;
  children: ReactNode;
  /// Rows go to the edges.
  flush?: boolean;
}) {
  return (
    <section className="panel" aria-label={title}>
      {title !== undefined && (
        <div className="panel-head">
          <h2>{title}</h2>
          {aside !== undefined && <div style={{ marginLeft: "auto" }}>{aside}</div>}
        </div>
      )}
      <div className={flush ? "panel-body flush" : "panel-body"}>{children}</div>
    </section>
  );
}

/// Says what is not here yet, and what to do about it.
export function Empty({ icon, title, children, action }: {
  icon: IconName;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="empty">
      <span className="badge"><Icon name={icon} size={26} /></span>
      <h2>{title}</h2>
      {children !== undefined && <p>{children}</p>}
      {action}
    </div>
  );
}

/// A command with a button that copies it.
export function Command({ text, label = "Command" }: { text: string; label?: string }) {
  return (
    <div className="command">
      <pre tabIndex={0} aria-label={label}>{text}</pre>
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <button type="button" onClick={copy} aria-label={`Copy: ${label}`}>
            <Icon name={copied ? "check" : "copy"} size={15} />
            <span aria-live="polite">{copied ? "Copied" : "Copy"}</span>
          </button>
        )}
      </CopyButton>
    </div>
  );
}

/// An error in the words of the server.
export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  const message = error instanceof Error ? error.message : String(error);
  const title = error instanceof ApiError ? TITLES[error.status] ?? "That did not work" : "That did not work";
  const wait = error instanceof ApiError && error.retryAfter !== undefined;
  return (
    <Alert color="red" variant="light" title={title} icon={<Icon name="alert" />} role="alert" className="breakable">
      {message}
      {wait && ` Try again in ${error.retryAfter ?? 0} seconds.`}
      {again !== undefined && (
        <div style={{ marginTop: 10 }}>
          <Button size="xs" variant="default" onClick={again}>Try again</Button>
        </div>
      )}
    </Alert>
  );
}

const TITLES: Record<number, string> = {
  0: "No connection",
  401: "Signed out",
  403: "Not allowed",
  404: "Not found",
  409: "Somebody was faster",
  422: "The value is not allowed",
  429: "Too many at once",
  500: "The server failed",
  503: "The server is busy",
};

interface Loaded<T> {
  data: T | undefined;
  error: unknown;
  refetch: () => unknown;
}

/// Shows what was asked for, or why it is not there.
export function Await<T>({ of, children, height = 120 }: {
  of: Loaded<T>;
  children: (data: T) => ReactNode;
  height?: number;
}) {
  if (of.data !== undefined) return children(of.data);
  if (of.error) {
    // What is refused, or is not there, will be no different.
    const isFinal = of.error instanceof ApiError && [403, 404].includes(of.error.status);
    return <Failure error={of.error} {...(isFinal ? {} : { again: () => void of.refetch() })} />;
  }
  return (
    <Stack gap="sm" aria-busy="true" role="status" aria-label="Loading">
      <Skeleton height={18} width="40%" />
      <Skeleton height={height} />
    </Stack>
  );
}

export function Dot({ state, label }: { state: "good" | "live" | "bad" | "none"; label: string }) {
  return <span className="dot" data-state={state} role="img" aria-label={label} title={label} />;
}

export function Bar({ part, of, label }: { part: number; of: number; label: string }) {
  const percent = of > 0 ? Math.min(100, (100 * part) / of) : 0;
  return (
    <div
      className="bar"
      role="progressbar"
      aria-label={label}
      aria-valuenow={Math.round(percent)}
      aria-valuemin={0}
      aria-valuemax={100}
      data-done={percent >= 100 || undefined}
    >
      <div style={{ width: `${percent}%` }} />
    </div>
  );
}

export function Tile({ name, value, note }: { name: string; value: ReactNode; note?: ReactNode }) {
  return (
    <dl className="tile" style={{ margin: 0 }}>
      <dt>{name}</dt>
      <dd>{value} {note !== undefined && <small>{note}</small>}</dd>
    </dl>
  );
}
