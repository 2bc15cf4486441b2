//! Packages around a script that stands for the binary, read by the programs that they are for.

use std::path::Path;
use std::process::Command;

use super::archive::Entry;
use super::contents::{BINARY, DOCUMENTS, MANUAL, UNITS};
use super::*;

const RELEASE: Release<'static> = Release {
    version: "1.2.3",
    target: "x86_64-unknown-linux-musl",
    maintainer: "Ada Lovelace <ada@example.org>",
    time: 1_700_000_000,
};

const LONG: &str = "grafana/provisioning/dashboards-of-all-kinds/tally.yaml";

fn tree() -> Vec<Entry> {
    let mut tree = vec![
        Entry::executable(BINARY, "#!/bin/sh\necho \"stands for tally $1\"\n"),
        Entry::new(format!("{UNITS}tally.service"), "[Service]\n"),
        Entry::new(format!("{DOCUMENTS}CHANGELOG.md"), "# Changelog\n"),
        Entry::new(format!("{DOCUMENTS}LICENSE"), "a licence\n"),
        Entry::new(format!("{DOCUMENTS}THIRD-PARTY.txt"), "of others\n"),
        Entry::new(format!("{DOCUMENTS}docs/http.md"), "x".repeat(1_000)),
        // With the archive's own folder, longer than a field of tar.
        Entry::new(format!("{DOCUMENTS}deploy/{LONG}"), "deep\n"),
        Entry::new(format!("{MANUAL}tally.1"), ".TH tally 1\n"),
    ];
    for (_, path) in contents::COMPLETIONS {
        tree.push(Entry::new(path, "completes\n"));
    }
    tree
}

/// All files of the release in a folder.
fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in packages(&RELEASE, &tree()).expect("it can be packed") {
        fs::write(folder.path().join(name), bytes).expect("room");
    }
    folder
}

/// What a program prints in this folder.
#[track_caller]
fn run(folder: &Path, command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", command[0]));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_archive_unpacks_into_the_folders_of_usr_local() {
    let folder = written();
    let name = "tally-1.2.3-x86_64-unknown-linux-musl";
    run(folder.path(), &["tar", "-xzf", &format!("{name}.tar.gz")]);
    let inside = folder.path().join(name);
    assert_eq!(run(&inside, &["bin/tally", "serve"]), "stands for tally serve\n");
    let text = fs::read_to_string(inside.join("share/doc/tally/docs/http.md"));
    assert_eq!(text.expect("it is there"), "x".repeat(1_000));
    let deep = fs::read_to_string(inside.join("share/doc/tally/deploy").join(LONG));
    assert_eq!(deep.expect("it is there"), "deep\n");
    let listed = run(folder.path(), &["tar", "-tvzf", &format!("{name}.tar.gz"), "--utc"]);
    let line = listed.lines().find(|line| line.ends_with("/bin/tally")).expect("it is listed");
    assert!(line.starts_with("-rwxr-xr-x root/root"), "{line}");
    assert!(line.contains("2023-11-14 22:13"), "{line}");
}

#[test]
fn the_archive_leaves_folders_that_are_there_as_they_are() {
    let folder = written();
    // As in some /usr/local: a folder for a group, and one that is elsewhere.
    run(folder.path(), &["mkdir", "-p", "local/bin", "local/share", "local/man"]);
    run(folder.path(), &["chmod", "2775", "local/bin"]);
    run(folder.path(), &["ln", "-s", "../man", "local/share/man"]);
    let archive = "tally-1.2.3-x86_64-unknown-linux-musl.tar.gz";
    run(folder.path(), &["tar", "-C", "local", "--strip-components=1", "-xzf", archive]);
    let local = folder.path().join("local");
    assert_eq!(run(&local, &["bin/tally", "add"]), "stands for tally add\n");
    assert_eq!(run(&local, &["cat", "man/man1/tally.1"]), ".TH tally 1\n");
    assert_eq!(run(&local, &["stat", "-c", "%a", "bin"]), "2775\n");
}

#[test]
fn all_files_have_the_sums_that_are_listed() {
    let folder = written();
    let checked = run(folder.path(), &["sha256sum", "--check", SUMS]);
    let files = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(checked.lines().count(), files - 1, "{checked}");
}

#[test]
fn the_deb_is_read_by_dpkg() {
    let folder = written();
    let deb = "tally_1.2.3_amd64.deb";
    let fields = run(folder.path(), &["dpkg-deb", "--field", deb]);
    let maintainer = format!("Maintainer: {}\n", RELEASE.maintainer);
    for field in ["Package: tally\n", "Version: 1.2.3\n", "Architecture: amd64\n", &maintainer] {
        assert!(fields.contains(field), "{fields}");
    }
    let listed = run(folder.path(), &["dpkg-deb", "--contents", deb]);
    let line = listed.lines().find(|line| line.ends_with(" ./usr/bin/")).expect("it is listed");
    assert!(line.starts_with("drwxr-xr-x root/root"), "{line}");
    run(folder.path(), &["dpkg-deb", "--raw-extract", deb, "x"]);
    let inside = folder.path().join("x");
    assert_eq!(run(&inside, &["usr/bin/tally", "add"]), "stands for tally add\n");
    let ok = run(&inside, &["md5sum", "--check", "DEBIAN/md5sums"]);
    assert!(ok.contains("usr/lib/systemd/system/tally.service: OK\n"), "{ok}");
    assert!(ok.contains("usr/share/zsh/vendor-completions/_tally: OK\n"), "{ok}");
    assert_eq!(run(&inside, &["gzip", "-dc", "usr/share/man/man1/tally.1.gz"]), ".TH tally 1\n");
    for script in ["postinst", "postrm", "prerm"] {
        run(&inside, &["sh", "-n", &format!("DEBIAN/{script}")]);
    }
}

#[test]
fn a_maintainer_has_a_name_and_an_address() {
    for text in [MAINTAINER, RELEASE.maintainer] {
        assert_eq!(maintainer(text).as_deref(), Ok(text));
    }
    for text in ["", "Ada", "ada@example.org", "Ada <ada>", "Ada <a@@b>", "A\nB: <a@b>", "A <a@b> "]
    {
        maintainer(text).expect_err(text);
    }
}

#[test]
fn the_wheel_is_a_zip_whose_list_is_right() {
    let folder = written();
    let wheel = "tally_server-1.2.3-py3-none-manylinux2014_x86_64.musllinux_1_1_x86_64.whl";
    // What pip checks: each file is listed, with its size and hash, and only the list itself without.
    let check = r#"
import base64, csv, hashlib, io, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
assert wheel.testzip() is None
rows = list(csv.reader(io.StringIO(wheel.read("tally_server-1.2.3.dist-info/RECORD").decode())))
assert sorted(row[0] for row in rows) == sorted(wheel.namelist()), rows
for path, sum, size in rows[:-1]:
    read = wheel.read(path)
    digest = base64.urlsafe_b64encode(hashlib.sha256(read).digest()).rstrip(b"=").decode()
    assert (sum, size) == ("sha256=" + digest, str(len(read))), path
info = wheel.getinfo("tally_server-1.2.3.data/scripts/tally")
print(oct(info.external_attr >> 16), info.date_time, wheel.read(info).decode(), end="")
"#;
    let printed = run(folder.path(), &["python3", "-c", check, wheel]);
    let expected = "0o100755 (1980, 1, 1, 0, 0, 0) #!/bin/sh\necho \"stands for tally $1\"\n";
    assert_eq!(printed, expected);
}

#[test]
fn npm_gets_a_package_for_the_platform_and_one_that_starts_it() {
    let folder = written();
    let of = |name: &str| {
        let archive = format!("{name}-1.2.3.tgz");
        let inside = folder.path().join(name);
        fs::create_dir(&inside).expect("a new folder");
        run(&inside, &["tar", "-xzf", &format!("../{archive}"), "--strip-components=1"]);
        let manifest = fs::read(inside.join("package.json")).expect("it has one");
        serde_json::from_slice::<serde_json::Value>(&manifest).expect("it is JSON")
    };
    let (platform, starter) = (of("tally-server-linux-x64"), of("tally-server"));
    assert_eq!(platform["os"][0], "linux");
    assert_eq!(platform["cpu"][0], "x64");
    assert_eq!(starter["optionalDependencies"]["tally-server-linux-x64"], "1.2.3");
    assert_eq!(starter["bin"]["tally"], "bin/tally.js");
    let tally = folder.path().join("tally-server-linux-x64");
    assert_eq!(run(&tally, &["bin/tally", "top"]), "stands for tally top\n");
}

#[test]
fn other_targets_have_what_their_platform_can_run() {
    let names = |target: &'static str| {
        let packages = packages(&Release { target, ..RELEASE }, &tree()).expect("it can be packed");
        packages.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let mac = [
        "tally-1.2.3-aarch64-apple-darwin.tar.gz",
        "tally_server-1.2.3-py3-none-macosx_11_0_arm64.whl",
        "tally-server-darwin-arm64-1.2.3.tgz",
        "tally-server-1.2.3.tgz",
        SUMS,
    ];
    assert_eq!(names("aarch64-apple-darwin"), mac);
    // It needs the glibc of the machine that built it.
    assert_eq!(
        names("x86_64-unknown-linux-gnu"),
        ["tally-1.2.3-x86_64-unknown-linux-gnu.tar.gz", SUMS]
    );
    assert!(names("aarch64-unknown-linux-musl").contains(&"tally_1.2.3_arm64.deb".to_owned()));
}

#[test]
fn a_byte_that_differs_is_noticed() {
    let files = packages(&RELEASE, &tree()).expect("it can be packed");
    let mut other = packages(&RELEASE, &tree()).expect("it can be packed");
    same(&files, &other).expect("they are the same");
    *other[1].1.last_mut().expect("it has bytes") ^= 1;
    let error = same(&files, &other).expect_err("one differs").to_string();
    assert_eq!(error, "built twice, these differ: tally_1.2.3_amd64.deb");
    other.pop();
    same(&files, &other).expect_err("one is missing");
}
