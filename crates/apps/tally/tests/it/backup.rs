//! `tally backup`: while a server counts, killed, refused, and restored.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tally_testkit::{Process, Stream, eventually_blocking};

use crate::support::{Home, LIMIT, Server, assert_fails, set_mode, totals};

/// Lines of the log that is imported meanwhile.
const LINES: usize = 60_000;

#[test]
fn a_backup_of_a_server_that_counts_goes_on_where_it_was_made() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    set_mode(&home.path("tally.db"), 0o640);
    let line = |number: usize| {
        let second = number % 60;
        format!(
            "- - - [17/May/2015:10:05:{second:02} +0000] \"GET /{} HTTP/1.1\" 200 1\n",
            number % 7
        )
    };
    let log = home.file("access.log", (0..LINES).map(line).collect::<String>());
    let import = Process::spawn(&server.command(&["import", &log]));
    let counted = |server: &Server| server.live().values().sum::<i64>();
    eventually_blocking(LIMIT, || counted(&server) > 0).expect("it is being counted");
    let backup = home.path("backup.db");
    let said = back_up(&home, "backup.db");
    assert!(said.contains("backed up sqlite:") && said.contains("checked"), "{said}");
    assert!(!home.path("backup.db.part").exists(), "only the backup itself");
    let mode = fs::metadata(&backup).expect("a backup").permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "whoever may read the database may read it");
    assert!(import.wait(LIMIT).status.success(), "the import noticed nothing");
    let whole = server.live();
    assert_eq!(whole.values().sum::<i64>(), 60_000);
    server.stop();

    // Rows and the positions of their producers are of one snapshot.
    let restored = home.serve_at(&format!("sqlite:{}", backup.display()), &[]);
    let before = counted(&restored);
    assert!(0 < before && before <= 60_000, "{before}");
    restored.ok(&["import", &log]);
    assert_eq!(restored.live(), whole, "of {before}");
}

#[test]
fn a_killed_backup_leaves_none() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    server.ok(&["add", "GET", "/a", "-n", "3"]);
    let url = home.database_url();
    let command = ["backup", "backup.db", "--database-url", &url];
    let killed = Process::spawn(home.command(&command).env("TALLY_FAULT", "backup.copied"));
    killed.wait_for_line(Stream::Stderr, "stopped at backup.copied", LIMIT);
    let words = ["backup.db.part: another backup is writing it"];
    assert_fails(&home.run(&command), 1, &words);
    killed.signal("KILL");
    killed.wait(LIMIT);
    assert!(!home.path("backup.db").exists(), "it has no name before it is checked");
    assert!(home.path("backup.db.part").exists(), "what a kill leaves");

    server.ok(&["add", "GET", "/a", "-n", "4"]);
    back_up(&home, "backup.db");
    assert!(!home.path("backup.db.part").exists(), "the next one has replaced it");
    let restored = home.serve_at(&format!("sqlite:{}", home.path("backup.db").display()), &[]);
    assert_eq!(restored.live(), totals([("GET /a", 7)]));
}

#[test]
fn a_backup_that_cannot_be_made_says_why_and_changes_nothing() {
    let home = Home::sqlite();
    let url = home.database_url();
    let fails = |file: &str, url: &str, words: &[&str]| {
        assert_fails(&home.run(&["backup", file, "--database-url", url]), 1, words);
    };
    fails("backup.db", &url, &["tally.db: there is no such file"]);
    assert!(!home.path("tally.db").exists(), "a backup makes no database");

    home.serve(&[]).stop();
    back_up(&home, "good.db");
    let beside = ["-wal", "-shm"].map(|suffix| home.path(&format!("tally.db{suffix}")).exists());
    assert_eq!(beside, [false; 2], "without a server, the database stays one file");
    home.file("kept.db", "mine");
    fails("kept.db", &url, &["kept.db: it is there already, and is kept"]);
    assert_eq!(fs::read(home.path("kept.db")).expect("a file"), b"mine");
    fails("tally.db", &url, &["tally.db: it is there already"]);
    fails("missing/backup.db", &url, &["missing/backup.db"]);
    let dump = "pg_dump --format custom --file 'backup.db' 'postgres://me@db/tally'";
    fails("backup.db", "postgres://me:s3cret@db/tally", &[dump, "BACKUP"]);

    // Not one that looks like a good one.
    let mut bytes = fs::read(home.path("tally.db")).expect("a database");
    let page = 8 << 10;
    bytes[page * 5..page * 6].fill(0xa5);
    fs::write(home.path("tally.db"), bytes).expect("a damaged database");
    fails("backup.db", &url, &["backup"]);
    assert!(!home.path("backup.db").exists() && !home.path("backup.db.part").exists());
}

/// Makes a backup in this home, and returns what it says.
#[track_caller]
fn back_up(home: &Home, file: &str) -> String {
    let output = home.run(&["backup", file, "--database-url", &home.database_url()]);
    assert!(output.status.success(), "{output:?}");
    output.stderr
}
