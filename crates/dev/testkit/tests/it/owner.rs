//! An owner killed with SIGKILL leaves nothing behind.

use std::path::Path;
use std::process::Command;

use tally_testkit::{Process, Stream, eventually_blocking};

use crate::LIMIT;

#[test]
fn nothing_outlives_a_killed_owner() {
    let owner = Process::spawn(&Command::new(env!("CARGO_BIN_EXE_testkit-owner")));
    let line = owner.wait_for_line(Stream::Stdout, "owns ", LIMIT);
    let words: Vec<&str> = line.split(' ').collect();
    let (folder, server, child) = (Path::new(words[1]), words[2], words[3]);
    assert!(folder.join("data").is_dir());
    assert!(runs(server) && runs(child));

    owner.signal("KILL");
    owner.wait(LIMIT);

    eventually_blocking(LIMIT, || !runs(child)).expect("the child is killed");
    eventually_blocking(LIMIT, || !runs(server)).expect("the server is stopped");
    eventually_blocking(LIMIT, || !folder.exists()).expect("the folder is removed");
}

/// Whether the process exists and is not a zombie.
fn runs(pid: &str) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().expect("ps runs");
    let state = String::from_utf8_lossy(&output.stdout);
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}
