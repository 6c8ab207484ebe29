/// What the API answers with, as far as the UI reads it.

export interface User {
  id: string;
  username: string;
  email: string;
  created: string;
  last_login_at: string | null;
  disabled?: boolean;
  global_permissions: string[];
  organisation_permissions: Record<string, string[]>;
}

export interface Project {
  id: string;
  name: string;
  title: string;
  description: string;
  created_at: string;
  updated_at: string;
}

export interface ResourceCounts {
  buckets: number;
  sources?: number;
  users_with_permissions: number;
}

export interface Bucket {
  id: string;
  owner: string;
  name: string;
  title: string;
  created_at: string;
  updated_at: string;
  last_updated_by?: { config_owner: string; config_key: string; shard_index: number; num_shards: number };
}

export interface KeyedSyncState {
  mailbox_name: string;
  folder_id?: string;
  folder_path?: string[];
  status: "IN_PROGRESS" | "UP_TO_DATE";
  synced_until?: string | null;
  last_synced_at: string;
}

export interface Volume {
  interval: "hour" | "day" | "week";
  volume: { timestamp: string; count: number }[];
  first: string | null;
  last: string | null;
}

export interface Email {
  id: string;
  mailbox: string;
  timestamp: string;
  metadata?: { folder?: string[]; size?: number; has_attachments?: boolean } | null;
  attachments?: Attachment[];
}

export interface Attachment {
  name: string;
  size: number;
  content_type: string;
  content_hash?: string;
  inline?: boolean;
  attachment_reference?: string;
}

export interface Source {
  id: string;
  owner: string;
  name: string;
  title: string;
  description: string;
  language: string;
  bucket_id?: string | null;
  email_transform_tag?: string | null;
  email_transform_version?: number | null;
  created_at: string;
  updated_at: string;
}

export interface Message {
  from?: string;
  to?: string[];
  cc?: string[];
  bcc?: string[];
  sent_at?: string;
  language?: string;
  subject?: { text: string };
  body: { text: string };
  signature?: { text: string };
}

export interface Comment {
  id: string;
  uid?: string;
  source_id?: string;
  timestamp: string;
  thread_id?: string | null;
  messages: Message[];
  user_properties: Record<string, string | number>;
  attachments?: Attachment[];
  created_at?: string;
  last_modified?: string;
}

/// Where a match is within the text beside it.
export interface Span {
  utf16_byte_start: number;
  utf16_byte_end: number;
}

export interface Marked {
  text: string;
  highlights: Span[];
}

export interface Hit {
  comment_id: string;
  uid: string;
  source_id: string;
  source: { owner: string; name: string };
  timestamp: string;
  thread_id: string | null;
  from: Marked | null;
  to: string[];
  num_recipients: number;
  subject: Marked | null;
  snippet: Marked & { is_start: boolean; is_end: boolean };
  num_attachments: number;
  user_properties: Record<string, string | number>;
  thread?: { num_messages: Count; num_matching: Count };
}

export interface Count {
  kind: "exact" | "lower_bound";
  value: number;
}

export interface SearchPage {
  results: Hit[];
  count?: Count;
  continuation?: string;
}

export interface Original {
  email_id: string;
  size: number;
  headers: { name: string; value: string }[];
  text: string;
  text_cut: boolean;
  html: { state: "shown" | "too_large" | "too_deep"; blocked: number; links: number; inline_pictures: number } | null;
  parts: OriginalPart[];
  notes: string[];
}

export interface OriginalPart {
  index: number;
  name: string;
  content_type: string;
  size: number;
  inline: boolean;
  shown_as?: string;
}

export interface ConfigEntry {
  name: string;
  version: number;
  written_by: string;
  updated_at: string;
}

export interface ConfigVersion {
  version: number;
  hash: string;
  written_by: string;
  created_at: string;
  size: number;
  current: boolean;
}

export interface Integration {
  id: string;
  owner: string;
  name: string;
  title: string;
  type: string;
  enabled: boolean;
  disabled_reason: null | "user" | "quota" | "sync_error";
  created_at: string;
  updated_at: string;
  stored_secrets: string[];
  configuration: {
    connection?: Record<string, unknown>;
    mailboxes: IntegrationMailbox[];
  };
}

export interface IntegrationMailbox {
  email: string;
  enabled: boolean;
  disabled_reason?: string | null;
  start_timestamp?: string | null;
  bucket_specification: { project_name: string; name: string; title?: string };
  [other: string]: unknown;
}

export interface IntegrationError {
  id: string;
  kind: string;
  action: { kind: string; mailbox_name?: string };
  full_error_text: string;
  created_at: string;
}

export interface AuditPage {
  audit_events: {
    event_id: string;
    event_type: string;
    timestamp: string;
    actor_user_id: string;
    project_ids?: string[];
    source_ids?: string[];
    details?: Record<string, unknown>;
    address?: string;
  }[];
  users: { id: string; username: string; email: string; display_name: string }[];
  projects: { id: string; name: string }[];
  continuation?: string;
}

export interface Quota {
  quota_kind: string;
  hard_limit: number;
  current_max_usage: number;
  auto_increase_up_to?: number;
}

export interface Role {
  name: string;
  title: string;
  description: string;
  scope: "project" | "global";
  permissions: string[];
}

export interface Roles {
  roles: Role[];
  permissions: { project: string[]; global: string[] };
}

export interface Token {
  id: string;
  name: string;
  shown: string;
  permissions: string[] | null;
  project: string | null;
  state: "valid" | "expired" | "revoked";
  created_at: string;
  expires_at?: string | null;
  last_used_at?: string | null;
  current: boolean;
}

export interface Session {
  id: string;
  current: boolean;
  method: "password" | "link" | "oidc";
  address: string;
  user_agent: string;
  created_at: string;
  last_used_at: string;
  expires_at: string;
}

export interface Account {
  user: User;
  has_password: boolean;
  identities: { issuer: string; created_at: string; last_used_at: string | null }[];
  credential: { kind: "session" | "token"; id: string };
}

export interface SignInOptions {
  password: boolean;
  oidc: { name: string; start: string } | null;
  signed_in: boolean;
  min_password_length: number;
}

export interface HeldMail {
  id: string;
  kind: string;
  recipient: string;
  subject: string;
  text: string;
  status: string;
  created_at: string;
}
