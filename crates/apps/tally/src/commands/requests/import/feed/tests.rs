//! Files to chunks: what counts, what is left out, and what is said of the rest.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use jiff::Timestamp;
use tally_runtime::ManualClock;

use super::*;

fn job(inputs: Vec<Input>, from_line: u64) -> Job {
    let now = Timestamp::from_second(1_431_900_000).expect("a time");
    Job {
        inputs,
        parser: Parser::default(),
        paths: Paths::default(),
        from_line,
        malformed: None,
        many_series: Box::new(|_| {}),
        clock: Arc::new(ManualClock::new(now)),
    }
}

fn line(path: &str) -> String {
    format!("h - - [17/May/2015:10:05:03 +0000] \"GET {path} HTTP/1.1\" 200 1\n")
}

fn run(job: Job) -> (Vec<(usize, String, u64)>, LineCounts, Vec<Failure>) {
    let (mut receiver, thread) = start(job).expect("starts");
    let (mut requests, mut counts, mut failures) = (vec![], LineCounts::default(), vec![]);
    while let Some(fed) = receiver.blocking_recv() {
        match fed {
            Fed::Chunk(chunk) => {
                let paths = chunk.entries.iter().map(|entry| entry.path.into_owned());
                let paths: Vec<_> = paths.collect();
                let lines = paths.into_iter().zip(chunk.entries.lines);
                requests.extend(lines.map(|(path, line)| (chunk.input, path, line)));
                counts.add(chunk.counts);
            }
            Fed::Whole(..) => {}
            Fed::Failed(failure) => failures.push(failure),
        }
    }
    thread.join().expect("no panic");
    (requests, counts, failures)
}

#[test]
fn lines_are_counted_for_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let ahead = line("/late").replace("2015", "2016");
    fs::write(&one, [&line("/a"), "junk\n", "  \r\n", &line("/b?c"), &ahead].concat())
        .expect("written");
    fs::write(&two, line("/c").trim_end()).expect("written");
    let inputs = vec![Input::File(one), Input::File(two)];
    let (requests, counts, failures) = run(job(inputs.clone(), 1));
    let of = |input, path: &str, line| (input, path.to_owned(), line);
    assert_eq!(requests, [of(0, "/a", 1), of(0, "/b", 4), of(1, "/c", 1)]);
    assert_eq!((counts.lines, counts.blank, counts.malformed), (6, 1, 2));
    let reasons: Vec<_> = counts.reasons.iter().map(|of| (of.count, of.input, of.line)).collect();
    assert_eq!(reasons, [(1, 0, 2), (1, 0, 5)]);
    assert_eq!(counts.torn, None, "a torn line that is good counts");
    assert!(failures.is_empty());

    let (requests, counts, _) = run(job(inputs.clone(), 3));
    assert_eq!(requests, [of(0, "/b", 4), of(1, "/c", 1)]);
    assert_eq!(counts.lines, 4);
    assert!(run(job(inputs.clone(), 6)).2.is_empty());
    let (_, _, failures) = run(job(inputs, 7));
    assert!(matches!(failures[..], [Failure::Short { lines: 5, .. }]), "{failures:?}");
}

#[test]
fn lines_for_several_fill_chunks_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let folded = format!("web nginx: message repeated 9000 times: [{}]\n", line("/a").trim_end());
    fs::write(&file, folded.repeat(30)).expect("written");
    let (mut receiver, thread) = start(job(vec![Input::File(file)], 1)).expect("starts");
    let mut requests = 0;
    while let Some(Fed::Chunk(chunk)) = receiver.blocking_recv() {
        assert!(chunk.entries.requests() < CHUNK_REQUESTS_MAX + 9_000);
        requests += chunk.entries.requests();
    }
    thread.join().expect("no panic");
    assert_eq!(requests, 270_000);
}

/// A clock that does something when it is looked at first: while the first input is read.
struct Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Clock for Meanwhile {
    fn now(&self) -> Timestamp {
        if let Some(act) = self.0.lock().expect("not poisoned").take() {
            act();
        }
        Timestamp::from_second(1_431_900_000).expect("a time")
    }
}

/// The inputs that are read as a whole, if something happens while the first one is read.
fn whole(inputs: Vec<Input>, act: impl FnOnce() + Send + 'static) -> Vec<(usize, Vec<u8>)> {
    let clock = Arc::new(Meanwhile(Mutex::new(Some(Box::new(act)))));
    let (mut receiver, thread) = start(Job { clock, ..job(inputs, 1) }).expect("starts");
    let mut whole = Vec::new();
    while let Some(fed) = receiver.blocking_recv() {
        if let Fed::Whole(input, fingerprint) = fed {
            whole.push((input, fingerprint));
        }
    }
    thread.join().expect("no panic");
    whole
}

fn known(path: &Path) -> Vec<u8> {
    let file = File::open(path).expect("opened");
    fingerprint(&file).expect("read").expect("a file")
}

#[test]
fn a_file_is_known_by_what_was_read_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, log, rotated] = ["first", "log", "log.1"].map(|name| folder.path().join(name));
    fs::write(&first, line("/a")).expect("written");
    fs::write(&log, line("/old").repeat(9)).expect("written");
    let inputs = vec![Input::File(first.clone()), Input::File(log.clone())];
    let (from, to) = (log.clone(), rotated.clone());
    let read = whole(inputs, move || {
        fs::rename(&from, to).expect("renamed");
        fs::write(from, line("/new")).expect("written");
    });
    assert_eq!(read, [(0, known(&first)), (1, known(&log))]);
    assert_ne!(known(&log), known(&rotated));
    // One that is rotated while it is read.
    let (from, to) = (log.clone(), rotated.clone());
    let read = whole(vec![Input::File(log.clone())], move || {
        fs::rename(&from, to).expect("renamed");
        fs::write(from, line("/newer")).expect("written");
    });
    assert_eq!(read, [(0, known(&rotated))]);
    // One that grows, and one that is begun anew in its place.
    for bytes in [line("/new").repeat(2), line("/neu")] {
        let to = log.clone();
        let read = whole(vec![Input::File(log.clone())], move || {
            fs::write(to, bytes).expect("written");
        });
        assert_eq!(read, []);
    }
}

/// Each of them, not only the last one.
#[test]
fn files_whose_last_line_is_torn_are_not_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    fs::write(&one, [&line("/a"), "junk"].concat()).expect("written");
    fs::write(&two, [&line("/a"), "junk"].concat()).expect("written");
    assert_eq!(whole(vec![Input::File(one.clone()), Input::File(two)], || {}), []);
    fs::write(&one, [&line("/a"), "junk\n"].concat()).expect("written");
    assert_eq!(whole(vec![Input::File(one.clone())], || {}), [(0, known(&one))]);
}

#[test]
fn malformed_lines_are_grouped_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, kept) = (folder.path().join("log"), folder.path().join("kept"));
    let month = line("/a").replace("May", "Mai");
    fs::write(&file, [&month, &line("/b"), "junk\n", &month, "{\"torn"].concat()).expect("written");
    let malformed = Some(File::create(&kept).expect("created"));
    let input = Input::File(file);
    let (requests, counts, _) = run(Job { malformed, ..job(vec![input], 1) });
    assert_eq!(requests.len(), 1);
    let reasons: Vec<_> = counts.reasons.iter().map(|of| (of.count, of.line)).collect();
    assert_eq!(reasons, [(2, 1), (1, 3), (1, 5)]);
    assert_eq!(counts.torn, Some((0, 5)));
    let expected = [&month, "junk\n", &month, "{\"torn\n"].concat();
    assert_eq!(fs::read_to_string(kept).expect("written"), expected);
}

#[test]
fn what_may_be_cut_off_is_not_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let head = "#Fields: date time cs-method cs-uri-stem\n2015-05-17 10:05:03 GET /whole\n";
    fs::write(&file, format!("{head}2015-05-17 10:05:03 GET /cut-o")).expect("written");
    let (requests, counts, _) = run(job(vec![Input::File(file.clone())], 1));
    assert_eq!(requests, [(0, "/whole".to_owned(), 2)]);
    assert_eq!((counts.malformed, counts.torn), (1, Some((0, 3))));
    fs::write(&file, "1431857103.0 GET /whole\n1431857103.0 GET /cut-o").expect("written");
    let format = "$msec $request_method $request_uri".parse().expect("a format");
    let parser = Parser { format, ..Parser::default() };
    let (requests, counts, _) = run(Job { parser, ..job(vec![Input::File(file)], 1) });
    assert_eq!(requests, [(0, "/whole".to_owned(), 1)]);
    assert_eq!(counts.torn, Some((0, 2)));
}

#[test]
fn what_cannot_be_kept_is_said_and_all_else_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    fs::write(&file, [&line("/a"), "junk\n", &line("/b"), "junk\n"].concat()).expect("written");
    // Open for reading, so that nothing can be written to it.
    let malformed = Some(File::open(&file).expect("opened"));
    let (requests, counts, failures) = run(Job { malformed, ..job(vec![Input::File(file)], 1) });
    assert_eq!((requests.len(), counts.malformed), (2, 2));
    assert!(matches!(failures[..], [Failure::Keep { .. }]), "{failures:?}");
}

#[test]
fn paths_are_left_out_and_columns_are_known_from_lines_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let w3c = "#Fields: date time cs-method cs-uri-stem\n2015-05-17 10:05:03 GET /a/7\n";
    fs::write(&file, [w3c, "2015-05-17 10:05:03 GET /a/8\n2015-05-17 10:05:03 GET /b\n"].concat())
        .expect("written");
    let paths = Paths { prefixes: vec!["/a".to_owned()], collapse_ids: true, ..Paths::default() };
    let (requests, counts, _) = run(Job { paths, ..job(vec![Input::File(file)], 3) });
    assert_eq!(requests, [(0, "/a/{id}".to_owned(), 3)]);
    assert_eq!((counts.lines, counts.left_out), (2, 1));
}

#[test]
fn what_came_before_damage_counts() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for number in 0..20_000 {
        encoder.write_all(line(&format!("/{number}")).as_bytes()).expect("compressed");
    }
    let bytes = encoder.finish().expect("compressed");
    let folder = tempfile::tempdir().expect("a folder");
    let (torn, next) = (folder.path().join("torn.gz"), folder.path().join("next"));
    fs::write(&torn, &bytes[..bytes.len() / 2]).expect("written");
    fs::write(&next, line("/next")).expect("written");
    let (requests, counts, failures) = run(job(vec![Input::File(torn), Input::File(next)], 1));
    assert!(requests.len() > 1_000, "{}", requests.len());
    assert_eq!(requests.last(), Some(&(1, "/next".to_owned(), 1)));
    assert_eq!(counts.malformed, 0);
    assert!(matches!(failures[..], [Failure::Read { line: 1_000.., .. }]), "{failures:?}");
}
