//! What the operating system knows of the process: on Linux, from `/proc`; elsewhere nothing.

use super::{Metric, Scrape, Value};

const START: Metric = Metric::gauge(
    "process_start_time_seconds",
    "When the process was started, in seconds since 1970-01-01 UTC.",
);
const CPU: Metric =
    Metric::counter("process_cpu_seconds_total", "Processor time of the process, in seconds.");
const RESIDENT: Metric =
    Metric::gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.");
const FILES: Metric =
    Metric::gauge("process_open_fds", "File descriptors of the process that are open.");
const FILES_MAX: Metric =
    Metric::gauge("process_max_fds", "File descriptors that the process may open.");

/// Linux counts processor time for programs in hundredths of a second, on every machine that Rust builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used, and when it was started.
#[derive(Debug, PartialEq)]
struct Used {
    cpu_seconds: f64,
    /// Since the machine was started.
    started_seconds: f64,
}

// === impl Scrape ===

impl Scrape {
    /// Adds what is known of this process.
    pub fn put_process(&mut self) {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let used = used(&read("/proc/self/stat"));
        if let (Some(used), Some(booted)) = (&used, booted(&read("/proc/stat"))) {
            self.put(START, &[], Value::Real(booted + used.started_seconds));
        }
        if let Some(used) = &used {
            self.put(CPU, &[], Value::Real(used.cpu_seconds));
        }
        if let Some(bytes) = resident_bytes(&read("/proc/self/status")) {
            self.put(RESIDENT, &[], bytes);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            // Without the one that reads this folder.
            self.put(FILES, &[], files.count().saturating_sub(1));
        }
        if let Some(max) = files_max(&read("/proc/self/limits")) {
            self.put(FILES_MAX, &[], max);
        }
    }
}

/// The fields of `stat` are counted from behind the command's name, which may have any character.
fn used(stat: &str) -> Option<Used> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // The first one is the third of all: the state.
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let seconds = |ticks: f64| ticks / TICKS_PER_SECOND;
    let cpu_seconds = seconds(ticks(14)? + ticks(15)?);
    Some(Used { cpu_seconds, started_seconds: seconds(ticks(22)?) })
}

/// When the machine was started, in seconds since 1970-01-01 UTC.
fn booted(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1_024)
}

/// The soft limit; infinity if there is none.
fn files_max(limits: &str) -> Option<Value> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(Value::Real(f64::INFINITY)),
        limit => limit.parse().ok().map(Value::Whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 3 0 12345 0 0";
        let used = used(stat).expect("it has all fields");
        assert_eq!(used, Used { cpu_seconds: 3.0, started_seconds: 123.45 });
        assert_eq!(super::used("7 (a) S 1"), None);
        assert_eq!(booted("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000.0));
        assert_eq!(resident_bytes("VmHWM:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        let limits =
            "Max processes   1 2 processes\nMax open files            1024   4096   files\n";
        assert_eq!(files_max(limits), Some(Value::Whole(1_024)));
        let limits = "Max open files            unlimited   unlimited   files\n";
        assert_eq!(files_max(limits).map(|max| Value::to_string(&max)), Some("+Inf".to_owned()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_known() {
        let mut scrape = Scrape::new();
        scrape.put_process();
        assert_eq!(scrape.families.len(), 5);
    }
}
