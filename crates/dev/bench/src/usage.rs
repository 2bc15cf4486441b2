//! What processes use of the machine, as Linux counts it. Elsewhere there are no figures.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The unit of CPU times in `/proc/PID/stat`, the same on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// Resident memory, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

/// What of `/proc/PID/stat` is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    own_ticks: u64,
    /// Those of children that have ended.
    ended_ticks: u64,
}

/// The CPU time of a process.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    Some(time(stat(pid)?.own_ticks))
}

/// The CPU time of this process, more exactly than in ticks.
pub(crate) fn own_cpu() -> Option<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    Some(Duration::new(seconds, nanos))
}

/// The CPU time of a process and all children that it has or had.
pub(crate) fn cpu_of_family(pid: u32) -> Option<Duration> {
    // Before its children: one that ends in between counts at most once.
    let of_parent = stat(pid)?;
    let folders = fs::read_dir("/proc").ok()?.flatten();
    let pids = folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok());
    let children = pids.filter_map(stat).filter(|stat| stat.parent == pid);
    let of_children: u64 = children.map(|stat| stat.own_ticks + stat.ended_ticks).sum();
    Some(time(of_parent.own_ticks + of_parent.ended_ticks + of_children))
}

/// The memory of a process.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    parse_status(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Lets the peak of a process's memory begin anew.
pub(crate) fn forget_peak(pid: u32) {
    // Where that cannot be done, the peak is that of all its life.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Understands `/proc/PID/stat`; see proc(5). The program's name may have spaces and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // The manual counts from 1, and the first two are gone.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        own_ticks: field(14)? + field(15)?,
        ended_ticks: field(16)? + field(17)?,
    })
}

fn parse_status(text: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory { now: kib("VmRSS:")?, peak: kib("VmHWM:")? })
}

fn time(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_of_any_form() {
        let text = "42 (a ) b) S 7 42 42 0 -1 4194560 1 2 3 4 50 60 700 800 20 0 1 0 9 9 9";
        let expected = Stat { parent: 7, own_ticks: 110, ended_ticks: 1_500 };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("42 (a) S 7"), None);
    }

    #[test]
    fn memory_is_found_by_its_name() {
        let text = "Name:\ta\nVmPeak:\t  99 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
        assert_eq!(parse_status(text), Some(Memory { now: 1_024, peak: 2_048 }));
        assert_eq!(parse_status("Name:\ta\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_family_has_used_as_much_as_its_parent() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap().peak > 0);
        assert!(cpu(pid).unwrap() <= cpu_of_family(pid).unwrap());
        let before = own_cpu().unwrap();
        assert!(before > Duration::ZERO && before <= own_cpu().unwrap());
    }
}
