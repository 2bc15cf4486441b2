//! How many files the process may have open. Each connection is one.

/// Allows as many open files as the process may allow itself. Returns how many that are; where there is no
/// such limit, none.
#[must_use]
pub fn allow_open_files() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Where a limit has no end, the system may not allow that; then it stays.
        let _ = setrlimit(Resource::Nofile, limit);
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    None
}
