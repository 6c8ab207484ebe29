//! Where emails end up: folders of files, object stores, the platform, and what leads from there to
//! other programs.

pub mod ascii_safe;
mod email_new;
pub mod export;
pub mod local_files;
pub mod object_store;
pub mod platform_api;
