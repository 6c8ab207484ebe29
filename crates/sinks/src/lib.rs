//! Where emails end up: folders of files, object stores, and what leads from there to other
//! programs.

pub mod ascii_safe;
pub mod export;
pub mod local_files;
pub mod object_store;
