//! Where emails end up: folders of files so far, and what leads from there to other programs.

pub mod ascii_safe;
pub mod export;
pub mod local_files;
pub mod state_admin;
