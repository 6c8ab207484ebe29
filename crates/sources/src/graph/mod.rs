//! Reads mailboxes over Microsoft Graph.
