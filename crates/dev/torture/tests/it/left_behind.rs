//! A run leaves nothing behind, however it ends.

use std::path::Path;
use std::process::Command;

use tally_testkit::{Process, Stream, eventually_blocking, run};

use crate::LIMIT;
use crate::program::command;

/// The processes with this folder in their command line.
fn processes(folder: &Path) -> Vec<String> {
    let output = run(Command::new("ps").args(["-ww", "-eo", "stat=,args="]), b"", LIMIT);
    let of_folder = output.stdout.lines().filter(|line| {
        // Skip zombies.
        line.contains(&*folder.to_string_lossy()) && !line.starts_with('Z')
    });
    of_folder.map(str::to_owned).collect()
}

#[track_caller]
fn nothing_is_left_after(signal: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let torture = command(folder.path(), &["--minutes", "5", "--verbose"]);
    // With SIGINT ignored, as a script starts its background jobs.
    let mut background = Command::new("sh");
    background.args(["-c", "trap '' INT; exec \"$@\"", "sh"]);
    background.arg(torture.get_program()).args(torture.get_args());
    background.envs(torture.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let torture = Process::spawn(&background);
    // By now servers and clients are being killed and restarted.
    torture.wait_for_line(Stream::Stdout, "KillServer", LIMIT);
    assert!(processes(folder.path()).len() > 3, "{:?}", processes(folder.path()));

    torture.signal(signal);
    torture.wait(LIMIT);

    let files = || std::fs::read_dir(folder.path()).expect("the folder exists").count();
    eventually_blocking(LIMIT, || files() == 0).expect("the folder is removed");
    let gone = eventually_blocking(LIMIT, || processes(folder.path()).is_empty());
    assert!(gone.is_ok(), "{:?}", processes(folder.path()));
}

#[test]
fn after_ctrl_c() {
    nothing_is_left_after("INT");
}

#[test]
fn after_a_kill() {
    nothing_is_left_after("KILL");
}

#[test]
fn a_failed_run_keeps_its_folder_and_prints_where() {
    let folder = tempfile::tempdir().unwrap();
    let broken = ["--seed", "7", "--minutes", "0", "--broken", "ack-before-commit"];
    let output = run(&command(folder.path(), &broken), b"", LIMIT);
    let said =
        output.stdout.lines().find_map(|line| line.strip_prefix("journals and logs are in "));
    let kept = Path::new(said.expect("the path is printed"));
    for name in ["raw-1.journal", "raw-1.log", "server-1.log", "report.txt", "tally.db"] {
        assert!(kept.join(name).is_file(), "{name}");
    }
    assert_eq!(processes(folder.path()), Vec::<String>::new());
}
