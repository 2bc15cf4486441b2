//! Files to chunks: what counts, what is left out, and what is said of the rest.

use std::fs;

use jiff::Timestamp;
use tally_runtime::ManualClock;

use super::super::text::Text;
use super::*;

fn reader() -> Reader {
    let now = Timestamp::from_second(1_431_900_000).expect("a time");
    Reader {
        parser: Parser::default(),
        paths: Paths::default(),
        malformed: None,
        many_series: Box::new(|_| {}),
        clock: Arc::new(ManualClock::new(now)),
        bytes: Arc::default(),
        seen: Seen::default(),
        unkept: None,
    }
}

fn job(at: usize, input: &Input, from_line: u64, ending: Ending) -> Job {
    Job {
        at,
        input: input.clone(),
        lines: input.open(Arc::default()).expect("opens"),
        begin: Position::default(),
        context: Context::default(),
        from_line,
        ending,
    }
}

fn line(path: &str) -> String {
    format!("h - - [17/May/2015:10:05:03 +0000] \"GET {path} HTTP/1.1\" 200 1\n")
}

type Requests = Vec<(usize, String, u64)>;

fn run_some(
    mut reader: Reader,
    inputs: &[Input],
    from_line: u64,
    ending: Ending,
) -> (Requests, LineCounts, Vec<Failure>) {
    let (mut requests, mut counts, mut failures) = (vec![], LineCounts::default(), vec![]);
    for (at, input) in inputs.iter().enumerate() {
        let from_line = if at == 0 { from_line } else { 1 };
        let (mut receiver, thread) =
            reader.start(job(at, input, from_line, ending)).expect("starts");
        while let Some(fed) = receiver.blocking_recv() {
            match fed {
                Fed::Chunk(chunk) => {
                    let paths = chunk.entries.iter().map(|entry| entry.path.into_owned());
                    let paths: Vec<_> = paths.collect();
                    let lines = paths.into_iter().zip(chunk.entries.lines);
                    requests.extend(lines.map(|(path, line)| (chunk.input, path, line)));
                    counts.add(chunk.counts);
                }
                Fed::Failed(failure) => failures.push(failure),
            }
        }
        reader = thread.join().expect("no panic");
    }
    (requests, counts, failures)
}

fn run(reader: Reader, inputs: &[Input], from_line: u64) -> (Requests, LineCounts, Vec<Failure>) {
    run_some(reader, inputs, from_line, Ending::Unknown)
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
    let (requests, counts, failures) = run(reader(), &inputs, 1);
    let of = |input, path: &str, line| (input, path.to_owned(), line);
    assert_eq!(requests, [of(0, "/a", 1), of(0, "/b", 4), of(1, "/c", 1)]);
    assert_eq!((counts.lines, counts.blank, counts.malformed), (6, 1, 2));
    let reasons: Vec<_> = counts.reasons.iter().map(|of| (of.count, of.input, of.line)).collect();
    assert_eq!(reasons, [(1, 0, 2), (1, 0, 5)]);
    assert_eq!(counts.torn, None, "a torn line that is good counts");
    assert!(failures.is_empty());

    let (requests, counts, _) = run(reader(), &inputs, 3);
    assert_eq!(requests, [of(0, "/b", 4), of(1, "/c", 1)]);
    assert_eq!(counts.lines, 4);
    assert!(run(reader(), &inputs, 6).2.is_empty());
    let (_, _, failures) = run(reader(), &inputs, 7);
    assert!(matches!(failures[..], [Failure::Short { lines: 5, .. }]), "{failures:?}");
}

#[test]
fn lines_for_several_fill_chunks_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let folded = format!("web nginx: message repeated 9000 times: [{}]\n", line("/a").trim_end());
    fs::write(&file, folded.repeat(30)).expect("written");
    let job = job(0, &Input::File(file), 1, Ending::Unknown);
    let (mut receiver, thread) = reader().start(job).expect("starts");
    let mut requests = 0;
    while let Some(Fed::Chunk(chunk)) = receiver.blocking_recv() {
        assert!(chunk.entries.requests() < CHUNK_REQUESTS_MAX + 9_000);
        requests += chunk.entries.requests();
    }
    thread.join().expect("no panic");
    assert_eq!(requests, 270_000);
}

/// Wherever a run ends, the next one has the other requests: what it stands for, at every position
/// that a batch may have.
#[test]
fn any_position_is_one_to_go_on_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let folded = |times| {
        let inner = line("/many");
        format!("web nginx: message repeated {times} times: [{}]\n", inner.trim_end())
    };
    let mut text = String::new();
    for number in 0..20 {
        text += &line(&format!("/{number}"));
        text += "junk\n\n";
        text += &folded(3);
    }
    text += "#Fields: date time cs-method cs-uri-stem\n";
    for number in 0..20 {
        match number {
            8 => text += "#Fields: date time cs-uri-stem cs-method\n",
            0..8 => text += &format!("2015-05-17 10:05:03 GET /w{number}\n"),
            _ => text += &format!("2015-05-17 10:05:03 /w{number} GET\n"),
        }
    }
    fs::write(&file, &text).expect("written");
    let input = Input::File(file);
    let opened = Text::open(&input, Arc::default()).expect("opens").expect("a file");
    let requests = |chunk: &Chunk| {
        let each =
            chunk.entries.iter().map(|entry| vec![entry.path.to_string(); entry.times as usize]);
        each.flatten().collect::<Vec<_>>()
    };
    let read = |begin: Position| {
        let mut context = Context::default();
        if let Some(at) = begin.fields_at {
            let line = opened.line_at(at).expect("reads").expect("a line");
            reader().parser.follow(&line, &mut context);
        }
        let lines = opened.lines_from(&begin).expect("reads").expect("the same text");
        let job = Job { lines, begin, context, ..job(0, &input, 1, Ending::Later) };
        let (mut receiver, thread) = reader().start(job).expect("starts");
        let mut chunks = Vec::new();
        while let Some(Fed::Chunk(chunk)) = receiver.blocking_recv() {
            chunks.push(*chunk);
        }
        thread.join().expect("no panic");
        chunks
    };
    let chunks = read(Position::default());
    let all: Vec<_> = chunks.iter().flat_map(requests).collect();
    assert_eq!((all.len(), chunks.len()), (20 * 4 + 19, 3));
    let mut before = 0;
    for chunk in &chunks {
        for request in 0..=requests(chunk).len() {
            let rest: Vec<_> = read(chunk.position(request)).iter().flat_map(requests).collect();
            assert_eq!(rest, all[before + request..], "{:?}", chunk.position(request));
        }
        before += requests(chunk).len();
    }
}

#[test]
fn malformed_lines_are_grouped_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, kept) = (folder.path().join("log"), folder.path().join("kept"));
    let month = line("/a").replace("May", "Mai");
    fs::write(&file, [&month, &line("/b"), "junk\n", &month, "{\"torn"].concat()).expect("written");
    let malformed = Some(File::create(&kept).expect("created"));
    let input = Input::File(file);
    let (requests, counts, _) = run(Reader { malformed, ..reader() }, &[input], 1);
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
    let (requests, counts, _) = run(reader(), &[Input::File(file.clone())], 1);
    assert_eq!(requests, [(0, "/whole".to_owned(), 2)]);
    assert_eq!((counts.malformed, counts.torn), (1, Some((0, 3))));
    fs::write(&file, "1431857103.0 GET /whole\n1431857103.0 GET /cut-o").expect("written");
    let format = "$msec $request_method $request_uri".parse().expect("a format");
    let parser = Parser { format, ..Parser::default() };
    let (requests, counts, _) = run(Reader { parser, ..reader() }, &[Input::File(file)], 1);
    assert_eq!(requests, [(0, "/whole".to_owned(), 1)]);
    assert_eq!(counts.torn, Some((0, 2)));
}

#[test]
fn a_last_line_without_an_end_counts_by_what_it_is_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    let (good, bad) = (line("/b"), line("/b").replace("May", "Mai"));
    for (last, ending, counted, torn) in [
        (&good, Ending::Later, 1, true),
        (&bad, Ending::Later, 1, true),
        (&good, Ending::Complete, 2, false),
        (&bad, Ending::Complete, 1, false),
        (&good, Ending::Unknown, 2, false),
        (&bad, Ending::Unknown, 1, true),
    ] {
        fs::write(&file, [&line("/a"), last.trim_end()].concat()).expect("written");
        let (requests, counts, _) = run_some(reader(), &[Input::File(file.clone())], 1, ending);
        assert_eq!((requests.len(), counts.torn.is_some()), (counted, torn), "{last} {ending:?}");
        let is_malformed = last == &bad && ending != Ending::Later;
        assert_eq!(counts.malformed, u64::from(is_malformed));
    }
}

#[test]
fn what_cannot_be_kept_is_said_and_all_else_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("log");
    fs::write(&file, [&line("/a"), "junk\n", &line("/b"), "junk\n"].concat()).expect("written");
    // Open for reading, so that nothing can be written to it.
    let malformed = Some(File::open(&file).expect("opened"));
    let (requests, counts, failures) =
        run(Reader { malformed, ..reader() }, &[Input::File(file)], 1);
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
    let (requests, counts, _) = run(Reader { paths, ..reader() }, &[Input::File(file)], 3);
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
    let (requests, counts, failures) = run(reader(), &[Input::File(torn), Input::File(next)], 1);
    assert!(requests.len() > 1_000, "{}", requests.len());
    assert_eq!(requests.last(), Some(&(1, "/next".to_owned(), 1)));
    assert_eq!(counts.malformed, 0);
    assert!(matches!(failures[..], [Failure::Read { line: 1_000.., .. }]), "{failures:?}");
}
