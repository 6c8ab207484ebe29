//! A server's reply, cut into pieces in any way, is read the same, and never harms.
#![no_main]

use sources::ews::fuzz::reply_from_any_bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reply_from_any_bytes(data));
