//! A small bad tree in which each rule must find its violation, and a clean one.

use std::fs;
use std::path::Path;

use super::check;

/// A workspace without a violation.
const CLEAN: [(&str, &str); 17] = [
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"crates/proto\", \"crates/kernel/*\", \"crates/domains/*\"]\n",
    ),
    (
        "ARCHITECTURE.md",
        "# Map\n\n## Words\n\n| word | meaning | not |\n|---|---|---|\n| coin | money | `gold piece`, `mint` |\n\n<!--\n| coin | money | `penny` |\n-->\n\n## More\n",
    ),
    ("clippy.toml", include_str!("../../../clippy.toml")),
    ("crates/proto/Cargo.toml", "[package]\nname = \"proto\"\nversion = \"0.1.0\"\n"),
    (
        "crates/proto/src/lib.rs",
        "//! Stubs.\n//!\n//! | file | what it owns |\n//! |---|---|\n//! | `wire.rs` | reasons |\n\nmod wire;\n",
    ),
    ("crates/proto/src/gen/long.rs", "fn unformatted ( ) { let t = SystemTime::now(); }\n"),
    ("crates/kernel/store/Cargo.toml", "[package]\nname = \"store\"\npublish = false\n"),
    (
        "crates/kernel/store/src/lib.rs",
        "//! A store.\n//!\n//! | file | what it owns |\n//! |---|---|\n//! | `pool.rs` | the pool |\n//! | `retry.rs` | retries |\n\nmod pool;\nmod retry;\n",
    ),
    (
        "crates/kernel/store/src/pool.rs",
        "//! The pool.\n\n/// SELECT is a word here.\n#[expect(clippy::disallowed_methods, reason = \"named\")]\nfn f() -> &'static str { \"SELECTED\" }\n\n#[cfg(test)]\nmod tests {\n    const Q: &str = \"SELECT 1\";\n}\n",
    ),
    ("crates/kernel/store/src/retry.rs", "//! Retries.\n"),
    (
        "crates/kernel/store/src/add.sql",
        "-- One statement; on purpose.\nSELECT $1, ';', $$ ; $$; -- the end;\n",
    ),
    ("crates/domains/a/Cargo.toml", "[package]\nname = \"a\"\npublish = false\n"),
    ("crates/domains/a/src/lib.rs", "//! A domain.\n//!\n//! | file | what it owns |\n"),
    ("migrations/V1__two.sql", "SELECT 1; SELECT 2;\n"),
    (
        "crates/proto/src/wire.rs",
        "//! Reasons.\npub mod reason {\n    pub const FULL: &str = \"FULL\";\n}\n",
    ),
    ("docs/troubleshoot.md", TROUBLESHOOT),
    ("docs/more.md", "# More\n\nSee [the pool](troubleshoot.md#the-pool) and [it](#more).\n"),
];

const TROUBLESHOOT: &str = "# T\n\n## The `pool`\n\n| `FULL` | wait |\n";

/// Writes the clean tree with these files added or replaced, and checks it.
fn violations(changes: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in CLEAN.iter().chain(changes) {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
        fs::write(path, text).unwrap();
    }
    let found = check(root.path()).unwrap();
    found.iter().map(ToString::to_string).collect()
}

/// The change causes exactly one violation, which starts with this text.
#[track_caller]
fn breaks(path: &str, text: &str, expected: &str) {
    let found = violations(&[(path, text)]);
    assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:#?}");
}

#[test]
fn a_clean_tree_passes() {
    assert_eq!(violations(&[]), [""; 0]);
}

#[test]
fn arrows_point_one_way() {
    let package = |name: &str, dependency: &str| {
        format!("[package]\nname = \"{name}\"\npublish = false\n{dependency}")
    };
    let domain = "crates/domains/a/Cargo.toml";
    let kernel = "crates/kernel/store/Cargo.toml";
    let other = [
        ("crates/domains/b/Cargo.toml", "[package]\nname = \"b\"\npublish = false\n"),
        ("crates/domains/b/src/lib.rs", "//! B.\n//!\n//! | file | what it owns |\n"),
        ("crates/dev/testkit/Cargo.toml", "[package]\nname = \"testkit\"\npublish = false\n"),
        ("crates/dev/testkit/src/lib.rs", "//! T.\n//!\n//! | file | what it owns |\n"),
    ];
    let cases = [
        (domain, "a", "[dependencies]\nb = { path = \"../b\" }", "a domain never uses a domain"),
        (domain, "a", "[dev-dependencies]\nb = { path = \"../b\" }", "a domain never uses"),
        (domain, "a", "[dependencies]\ntestkit = { path = \"../../dev/testkit\" }", "the testkit"),
        (kernel, "store", "[dependencies]\na = { path = \"../../domains/a\" }", "the kernel is"),
        (kernel, "store", "[build-dependencies]\na = { path = \"../../domains/a\" }", "the kernel"),
    ];
    for (path, name, dependency, expected) in cases {
        let manifest = package(name, dependency);
        let mut found = violations(&[&other[..], &[(path, &manifest)]].concat());
        found.retain(|one| !one.contains(": unused: "));
        assert!(found.len() == 1 && found[0].contains(": arrows: "), "{found:#?}");
        assert!(found[0].contains(expected), "{expected}: {found:#?}");
    }
    let fine = [
        "[dependencies]\nstore = { path = \"../../kernel/store\" }\nproto = { path = \"../../proto\" }",
        "[dev-dependencies]\ntestkit = { path = \"../../dev/testkit\" }",
        "[dev-dependencies]\na = { path = \".\", features = [] }",
    ];
    for dependency in fine {
        let manifest = package("a", dependency);
        let found = violations(&[&other[..], &[(domain, &manifest)]].concat());
        assert!(found.iter().all(|one| one.contains(": unused: ")), "{dependency}: {found:#?}");
    }
}

#[test]
fn a_dependency_is_used_or_goes() {
    let manifest =
        |dependency: &str| format!("[package]\nname = \"a\"\npublish = false\n{dependency}");
    let on_store =
        |kind: &str| manifest(&format!("[{kind}]\nstore = {{ path = \"../../kernel/store\" }}"));
    let (path, lib) = ("crates/domains/a/Cargo.toml", "crates/domains/a/src/lib.rs");
    breaks(path, &on_store("dependencies"), "crates/domains/a/Cargo.toml:1: unused: ");
    breaks(path, &on_store("dev-dependencies"), "crates/domains/a/Cargo.toml:1: unused: ");
    let renamed = "[dependencies]\nshop = { package = \"store\", path = \"../../kernel/store\" }";
    breaks(path, &manifest(renamed), "crates/domains/a/Cargo.toml:1: unused: ");
    let feature = "\n[features]\nfaults = [\"store/faults\"]";
    let store = (
        "crates/kernel/store/Cargo.toml",
        "[package]\nname = \"store\"\npublish = false\n[features]\nfaults = []\n",
    );
    let enabling = on_store("dependencies") + feature;
    assert_eq!(violations(&[store, (path, &enabling)]), [""; 0]);
    let head = "//! A domain.\n//!\n//! | file | what it owns |\n";
    let used = ["use store::Pool;", "use store;", "fn f() { println!(\"{}\", store::pool()); }"];
    for code in used {
        let text = format!("{head}{code}\n");
        assert_eq!(violations(&[(path, &on_store("dependencies")), (lib, &text)]), [""; 0]);
    }
    for code in ["// store::Pool", "fn f() { crate::store::f(); let store = 1; }"] {
        let text = format!("{head}{code}\n");
        let found = violations(&[(path, &on_store("dependencies")), (lib, &text)]);
        assert!(found.len() == 1 && found[0].contains(": unused: "), "{code}: {found:#?}");
    }
    // What only tests use is for tests, and an example in a comment is one.
    let (test, text) = ("crates/domains/a/tests/it/main.rs", "//! Tests.\nuse store::Pool;\n");
    let found = violations(&[(path, &on_store("dependencies")), (test, text)]);
    assert!(found.len() == 1 && found[0].contains(": unused: "), "{found:#?}");
    let example = format!("{head}//!\n//! `store::open()`\n");
    for (path_of, text) in [(test, text), (lib, &*example)] {
        assert_eq!(violations(&[(path, &on_store("dev-dependencies")), (path_of, text)]), [""; 0]);
    }
}

#[test]
fn only_proto_and_client_are_published() {
    let domain = "crates/domains/a/Cargo.toml";
    breaks(
        domain,
        "[package]\nname = \"a\"\nversion = \"0.1.0\"\n",
        "crates/domains/a/Cargo.toml:1: publish: ",
    );
    let proto = "crates/proto/Cargo.toml";
    breaks(
        proto,
        "[package]\nname = \"p\"\npublish = false\n",
        "crates/proto/Cargo.toml:1: publish: ",
    );
}

#[test]
fn files_start_with_a_line_and_lib_with_a_table() {
    let pool = "crates/kernel/store/src/pool.rs";
    breaks(pool, "/// The pool.\nfn f() {}\n", "crates/kernel/store/src/pool.rs:1: opening: ");
    let lib = "crates/kernel/store/src/lib.rs";
    let no_table = "//! A store.\nmod pool;\nmod retry;\n";
    breaks(lib, no_table, "crates/kernel/store/src/lib.rs:1: table: add a table");
    let head = "//! A store.\n//!\n//! | file | what it owns |\n//! | `pool.rs` | the pool |\n";
    let short = format!("{head}\nmod pool;\nmod retry;\n");
    breaks(lib, &short, "crates/kernel/store/src/lib.rs:7: table: the table does not say");
    let long = format!("{head}//! | `retry.rs` `gone.rs` | retries |\nmod pool;\nmod retry;\n");
    breaks(
        lib,
        &long,
        "crates/kernel/store/src/lib.rs:5: table: crates/kernel/store/src/gone.rs does not exist",
    );
}

#[test]
fn sizes_have_limits_and_exceptions_that_only_shrink() {
    let path = "crates/kernel/store/src/pool.rs";
    let list = "xtask/tidy-exceptions.txt";
    let blank = |lines: usize| format!("//! Long.\n{}", "\n".repeat(lines - 1));
    let function = |lines: usize| {
        format!("//! Long.\nimpl Pool {{\n    fn get() {{\n{}    }}\n}}\n", "\n".repeat(lines - 2))
    };
    breaks(path, &blank(401), "crates/kernel/store/src/pool.rs:1: size: file has 401 lines");
    breaks(path, &function(71), "crates/kernel/store/src/pool.rs:3: size: fn:Pool::get has 71");
    breaks("crates/kernel/store/tests/it/main.rs", &blank(701), "crates/kernel/store/tests/it/");
    assert_eq!(violations(&[(path, &blank(400))]), [""; 0]);
    assert_eq!(violations(&[(path, &function(70))]), [""; 0]);
    assert_eq!(violations(&[("crates/kernel/store/tests/it/main.rs", &blank(700))]), [""; 0]);

    let file = format!("# Exceptions.\n\n{path} file 450 a table that reads best in one piece\n");
    let of_fn = format!("{path} fn:Pool::get 80 one long match\n");
    assert_eq!(violations(&[(path, &blank(450)), (list, &file)]), [""; 0]);
    assert_eq!(violations(&[(path, &function(80)), (list, &of_fn)]), [""; 0]);
    let cases = [
        (blank(451), &file, "crates/kernel/store/src/pool.rs:1: size: file grew from 450 to 451"),
        (
            blank(449),
            &file,
            "xtask/tidy-exceptions.txt:3: size: crates/kernel/store/src/pool.rs file has shrunk",
        ),
        (
            blank(400),
            &file,
            "xtask/tidy-exceptions.txt:3: size: crates/kernel/store/src/pool.rs file is within 400",
        ),
        (
            function(79),
            &of_fn,
            "xtask/tidy-exceptions.txt:1: size: crates/kernel/store/src/pool.rs fn:Pool::get has shrunk",
        ),
        (
            blank(9),
            &of_fn,
            "xtask/tidy-exceptions.txt:1: size: crates/kernel/store/src/pool.rs fn:Pool::get does not exist",
        ),
        (blank(9), &format!("{path} file 450\n"), "xtask/tidy-exceptions.txt:1: size: write: "),
    ];
    for (text, list_text, expected) in cases {
        let found = violations(&[(path, &text), (list, list_text)]);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:#?}");
    }
}

#[test]
fn clippy_keeps_its_bans() {
    let clippy = include_str!("../../../clippy.toml");
    let without = |word: &str| {
        clippy.lines().filter(|line| !line.contains(word)).collect::<Vec<_>>().join("\n")
    };
    breaks("clippy.toml", &without("\"tokio::spawn\""), "clippy.toml:1: clippy: ban tokio::spawn");
    let found = violations(&[("clippy.toml", &without("::transaction\""))]);
    assert_eq!(found.len(), 2, "{found:#?}");
    let silent = clippy.replace(", reason = \"blocking work", ", because = \"blocking work");
    breaks("clippy.toml", &silent, "clippy.toml:6: clippy: give a reason");
    let commented =
        clippy.replace("    { path = \"tokio::spawn\"", "    # { path = \"tokio::spawn\"");
    breaks("clippy.toml", &commented, "clippy.toml:4: clippy: tokio::spawn is not banned");
}

#[test]
fn every_file_is_compiled() {
    let lost = "crates/kernel/store/src/pool/lost.rs";
    let expected = "crates/kernel/store/src/pool/lost.rs:1: orphan: ";
    breaks(lost, "//! Nobody knows it.\n", expected);
    let pool = ("crates/kernel/store/src/pool.rs", "//! The pool.\nmod lost;\n");
    assert_eq!(violations(&[pool, (lost, "//! Known.\n")]), [""; 0]);
    let other = "//! The pool.\n#[path = \"other.rs\"]\nmod lost;\n";
    let files = [
        ("crates/kernel/store/src/pool.rs", other),
        ("crates/kernel/store/src/other.rs", "//! Known.\n"),
    ];
    assert_eq!(violations(&files), [""; 0]);
}

#[test]
fn retired_words_stay_away() {
    let path = "crates/kernel/store/src/pool.rs";
    for word in
        ["gold piece", "Gold pieces", "gold_piece", "GoldPiece", "OldGoldPieces", "GOLD_PIECE"]
    {
        let text = format!("//! The pool.\n// {word}\n");
        let expected = "crates/kernel/store/src/pool.rs:2: words: gold piece is retired: say coin";
        breaks(path, &text, expected);
    }
    for fine in ["marigold piecework", "gold", "minty", "peppermint", "coin", "penny"] {
        assert_eq!(
            violations(&[(path, &format!("//! The pool.\n// {fine}\n"))]),
            [""; 0],
            "{fine}"
        );
    }
    breaks("README.md", "# Tally\nThe mint.\n", "README.md:2: words: mint is retired: say coin");
    breaks("migrations/V1__two.sql", "CREATE TABLE tally_mint ();\n", "migrations/V1__two.sql:1: ");
    breaks("ARCHITECTURE.md", "# Map\n", "ARCHITECTURE.md:1: words: add the section");
}

#[test]
fn links_lead_somewhere() {
    let page = "docs/more.md";
    for (text, expected) in [
        ("# More\n\n[x](gone.md)\n", "docs/more.md:3: links: docs/gone.md does not exist"),
        (
            "[x](../docs/troubleshoot.md#pool)\n",
            "docs/more.md:1: links: docs/troubleshoot.md has no",
        ),
        ("# A\n[x](#b)\n", "docs/more.md:2: links: docs/more.md has no heading #b"),
    ] {
        breaks(page, text, expected);
    }
    let fine =
        "# A, b\n# A b\n[x](#a-b-1) [y](https://x.org/#z) [z](../migrations) [w](crate::X)\n";
    assert_eq!(violations(&[(page, fine)]), [""; 0]);
    assert_eq!(violations(&[(page, "```\n[x](gone.md)\n```\n")]), [""; 0]);
}

#[test]
fn the_troubleshooting_page_has_what_servers_say() {
    let (page, pool) = ("docs/troubleshoot.md", "crates/kernel/store/src/pool.rs");
    let lacks = "docs/troubleshoot.md:1: messages: docs/troubleshoot.md lacks the reason FULL";
    breaks(page, "# T\n\n## The `pool`\n", lacks);
    for gone in ["| `GONE` | x |\n", "| `it is gone` | x |\n", "| `FULL … Reasons` | x |\n"] {
        let text = TROUBLESHOOT.to_owned() + gone;
        breaks(page, &text, "docs/troubleshoot.md:6: messages: no program says");
    }
    let warns = "//! The pool.\nfn f() { tracing::warn!(a, \"b {} is not c\", 1); }\n";
    let lacks =
        "crates/kernel/store/src/pool.rs:2: messages: docs/troubleshoot.md lacks the warning";
    breaks(pool, warns, lacks);
    let listed = TROUBLESHOOT.to_owned() + "| `b … is not c` | x |\n";
    assert_eq!(violations(&[(pool, warns), (page, &listed)]), [""; 0]);
    assert_eq!(violations(&[(pool, &warns.replace("warn", "info"))]), [""; 0]);

    let lib = CLEAN.iter().find(|(path, _)| *path == "crates/kernel/store/src/lib.rs");
    let lib = lib.expect("it is there").1.replace("retry", "migrate");
    let refuses =
        "//! Migrations.\nfn f() { refused(format!(\"it is {version}, and that is too old\")) }\n";
    let mut found = violations(&[
        ("crates/kernel/store/src/lib.rs", &lib),
        ("crates/kernel/store/src/migrate.rs", refuses),
    ]);
    found.retain(|one| !one.contains(": orphan: "));
    assert!(found.len() == 1 && found[0].contains("lacks the refusal"), "{found:#?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in super::messages::REFUSING {
        assert!(root.join(file).is_file(), "{file} says no more why a server does not start");
    }
}

#[test]
fn the_map_names_files_that_exist() {
    let map = |row: &str| format!("# Map\n\n## Words\n\n{row}\n");
    for row in ["| `kernel/store/src/pool.rs` | x |", "| `migrations/` | x |", "| `tally_x` | x |"]
    {
        assert_eq!(violations(&[("ARCHITECTURE.md", &map(row))]), [""; 0], "{row}");
    }
    let gone = map("| `kernel/store/src/gone.rs` | x |");
    breaks("ARCHITECTURE.md", &gone, "ARCHITECTURE.md:5: table: kernel/store/src/gone.rs does not");
}

#[test]
fn exceptions_from_bans_need_a_reason() {
    for attribute in
        ["#[allow(clippy::disallowed_methods)]", "#![expect(clippy::disallowed_methods)]"]
    {
        let inner = attribute.starts_with("#!");
        let text = if inner {
            format!("//! The pool.\n{attribute}\n")
        } else {
            format!("//! The pool.\n{attribute}\nfn f() {{}}\n")
        };
        breaks(
            "crates/kernel/store/src/pool.rs",
            &text,
            "crates/kernel/store/src/pool.rs:2: reason: ",
        );
    }
}

#[test]
fn only_the_clock_reads_the_time() {
    let path = "crates/kernel/store/src/pool.rs";
    for now in ["std::time::SystemTime::now()", "println!(\"{}\", Timestamp::now())"] {
        let text = format!("//! The pool.\nfn f() {{\n    let t = {now};\n}}\n");
        breaks(path, &text, "crates/kernel/store/src/pool.rs:3: clock: ");
        assert_eq!(violations(&[("crates/kernel/store/tests/it/main.rs", &text)]), [""; 0]);
        assert_eq!(violations(&[("xtask/src/main.rs", &text)]), [""; 0]);
    }
    let clock = [
        ("crates/kernel/runtime/Cargo.toml", "[package]\nname = \"runtime\"\npublish = false\n"),
        (
            "crates/kernel/runtime/src/lib.rs",
            "//! R.\n//! | file | what |\n//! | `clock.rs` | t |\nmod clock;\n",
        ),
        (
            "crates/kernel/runtime/src/clock.rs",
            "//! Time.\nfn f() { let t = SystemTime::now(); }\n",
        ),
    ];
    assert_eq!(violations(&clock), [""; 0]);
}

#[test]
fn sql_statements_have_their_own_files() {
    let path = "crates/kernel/store/src/pool.rs";
    let strings = [
        "\"SELECT 1\"",
        "r#\"\n  WITH d AS (x)\"#",
        "\"\\n  PRAGMA x\"",
        "format!(\"DROP TABLE {t}\")",
        "\"COMMIT\"",
    ];
    for string in strings {
        let text = format!("//! The pool.\nfn f() {{\n    g({string});\n}}\n");
        breaks(path, &text, "crates/kernel/store/src/pool.rs:3: sql: ");
    }
    let sql = "crates/kernel/store/src/add.sql";
    breaks(sql, "SELECT 1;\n", "crates/kernel/store/src/add.sql:1: sql: start with");
    breaks(
        sql,
        "-- Why.\nSELECT 1;\nSELECT 2;\n",
        "crates/kernel/store/src/add.sql:3: sql: 2 statements",
    );
    breaks(sql, "-- Why.\n", "crates/kernel/store/src/add.sql:1: sql: 0 statements");
}

#[test]
fn ignored_tests_notes_and_empty_folders_are_found() {
    let path = "crates/kernel/store/src/pool.rs";
    let ignored = "//! The pool.\n#[test]\n#[ignore]\nfn f() {}\n";
    breaks(path, ignored, "crates/kernel/store/src/pool.rs:3: ignore: ");
    breaks(
        path,
        &ignored.replace("ignore", "ignore = \"slow\""),
        "crates/kernel/store/src/pool.rs:3: ignore: ",
    );
    let example = "//! The pool.\n//! ```ignore\n//! f();\n//! ```\n";
    breaks(path, example, "crates/kernel/store/src/pool.rs:2: ignore: ");
    for note in [concat!("TO", "DO"), concat!("FIX", "ME")] {
        breaks("README.md", &format!("# Tally\n{note}: more\n"), "README.md:2: notes: ");
        breaks(
            path,
            &format!("//! The pool.\n// {note}(me)\n"),
            "crates/kernel/store/src/pool.rs:2: notes: ",
        );
    }
    breaks(path, "//! The pool.\nfn f( {}\n", "crates/kernel/store/src/pool.rs:2: syntax: ");

    let root = tempfile::tempdir().unwrap();
    for (path, text) in CLEAN {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(root.path().join("crates/kernel/store/src/faults")).unwrap();
    let found: Vec<_> = check(root.path()).unwrap().iter().map(ToString::to_string).collect();
    assert!(found.len() == 1 && found[0].contains("faults:1: empty: "), "{found:#?}");
}

#[test]
fn cockroachs_sql_has_only_what_it_accepts() {
    let path = "migrations/cockroach/requests/V9__a.sql";
    let rule = |line: usize, advice: &str| format!("{path}:{line}: cockroach: {advice}");
    for (text, line, advice) in [
        ("CREATE TABLE IF NOT EXISTS t (\n    a INT PRIMARY KEY)", 2, "64 bits"),
        ("CREATE TABLE t (a INT8 PRIMARY KEY)", 1, "IF NOT EXISTS"),
        ("CREATE TABLE IF NOT EXISTS t (a INT8)", 1, "a table has a primary key"),
        ("CREATE TABLE IF NOT EXISTS t (at TIMESTAMPTZ, PRIMARY KEY (at))", 1, "a key that is led"),
        ("CREATE INDEX IF NOT EXISTS a ON t (a); DROP TABLE IF EXISTS u", 1, "one statement"),
    ] {
        breaks(path, text, &rule(line, advice));
    }
    let path = "crates/kernel/store/src/cockroach/a.sql";
    let rule = |line: usize, advice: &str| format!("{path}:{line}: cockroach: {advice}");
    for (text, line, advice) in [
        ("-- Why.\nLOCK TABLE t", 2, "it locks no tables"),
        ("-- Why.\nWITH a AS (DELETE FROM t) SELECT 1", 1, "each part of WITH"),
        (
            "-- Why.\nWITH a AS (DELETE FROM t RETURNING b)\nINSERT INTO t SELECT b FROM a",
            3,
            "one statement changes a table once",
        ),
    ] {
        breaks(path, text, &rule(line, advice));
    }
}
