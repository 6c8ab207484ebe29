//! What the kernel knows of this process, under the names that every Prometheus client uses.
//!
//! Spec: "Process metrics", Writing client libraries, Prometheus documentation; `proc(5)`.

use std::fs;

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use super::text::{Exposition, Kind, whole};

/// Fields of `/proc/self/stat` behind the name of the program, which may hold blanks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    user_ticks: u64,
    system_ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// Adds what can be known. Elsewhere than on Linux that is nothing.
pub(crate) fn describe(text: &mut Exposition) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let ticks = whole(clock_ticks_per_second()).max(1.0);
    let Some(stat) = parse(&read("/proc/self/stat")) else { return };
    let busy = whole(stat.user_ticks + stat.system_ticks) / ticks;
    let mut gauge = |name, help, value| text.family(name, Kind::Gauge, help).sample(&[], value);
    gauge(
        "process_resident_memory_bytes",
        "Memory of the process that is in RAM.",
        whole(stat.resident_pages.saturating_mul(page_size() as u64)),
    );
    gauge(
        "process_virtual_memory_bytes",
        "Address space of the process.",
        whole(stat.virtual_bytes),
    );
    if let Some(booted) = boot_time(&read("/proc/stat")) {
        gauge(
            "process_start_time_seconds",
            "When the process was started, in seconds since 1970.",
            whole(booted) + whole(stat.start_ticks) / ticks,
        );
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge("process_open_fds", "Open files and connections.", whole(open.count() as u64));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        gauge("process_max_fds", "Most files and connections at once.", whole(most));
    }
    let help = "Processor time that the process has used.";
    text.family("process_cpu_seconds_total", Kind::Counter, help).sample(&[], busy);
}

fn parse(stat: &str) -> Option<Stat> {
    let (_, fields) = stat.rsplit_once(')')?;
    // `proc(5)` counts from 1, and the field behind the name is the third.
    let field = |number: usize| fields.split_whitespace().nth(number - 3)?.parse().ok();
    Some(Stat {
        user_ticks: field(14)?,
        system_ticks: field(15)?,
        start_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

fn boot_time(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let line = "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 3 0 900 \
                    1048576 256 18446744073709551615 1 1 0";
        let stat = parse(line).unwrap();
        let expected = Stat {
            user_ticks: 7,
            system_ticks: 5,
            start_ticks: 900,
            virtual_bytes: 1_048_576,
            resident_pages: 256,
        };
        assert_eq!(stat, expected);
        assert_eq!(parse("garbage"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1790000000\n"), Some(1_790_000_000));
    }
}
