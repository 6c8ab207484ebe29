//! An answer of Graph, cut into pieces in any way, is read the same, and never harms.
#![no_main]

use sources::graph::fuzz::answer_from_any_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| answer_from_any_bytes(data));
