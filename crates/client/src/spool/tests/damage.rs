//! Damage: only appended batches are ever read, and losses are reported.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::spool::{Error, Finding, Recovered, Spool, Stored};
use proptest::prelude::*;

use super::{PRODUCER, SMALL, append, batch, lease_lost, open, payload, pending, rows, scratch};

/// The files of a spool, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// Where each record is: file, first byte, byte after the last.
type Places = BTreeMap<u64, (String, usize, usize)>;

const BATCHES: u64 = 16;

fn load(directory: &Path) -> Files {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| name != "lock")
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

fn store(directory: &Path, files: &Files) {
    for (name, _) in load(directory) {
        fs::remove_file(directory.join(name)).unwrap();
    }
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).unwrap();
    }
}

/// A spool of several segments, none of it acknowledged, whose state knows the first three.
fn sample() -> (Files, Places) {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    let mut places = Places::new();
    for sequence in 1..=BATCHES {
        append(&mut spool, 1);
        let files = load(folder.path());
        let (name, bytes) = files.iter().rfind(|(name, _)| is_segment(name)).unwrap();
        let end = bytes.len();
        let start = end - payload(sequence).len() - 44;
        places.insert(sequence, (name.clone(), start, end));
        if sequence == 3 {
            spool.set_lease(5, &[9]).unwrap();
        }
    }
    drop(spool);
    let files = load(folder.path());
    assert!(files.keys().filter(|name| is_segment(name)).count() >= 3);
    (files, places)
}

fn is_segment(name: &str) -> bool {
    name.ends_with(".segment")
}

/// Reads everything and checks it against what was appended. Returns the lost sequences.
fn check(spool: &mut Spool, recovered: &Recovered) -> Vec<u64> {
    let mut lost = Vec::new();
    for (stored, sequence) in pending(spool).into_iter().zip(recovered.acknowledged + 1..) {
        match stored {
            Stored::Missing(missing) => {
                assert!((missing.first..=missing.last).contains(&sequence));
                let exact: u64 = (missing.first..=missing.last).map(rows).sum();
                assert_eq!(missing.rows, exact, "{missing:?}");
                assert!(recovered.missing.contains(&missing), "{recovered:?}");
                lost.push(sequence);
            }
            stored => assert_eq!(stored, batch(sequence)),
        }
    }
    for missing in &recovered.missing {
        assert!((missing.first..=missing.last).all(|it| lost.contains(&it)));
    }
    lost.extend(spool.next_sequence()..=BATCHES);
    lost
}

/// The second opening finds the same, and the spool continues.
fn goes_on(directory: &Path, first: &Recovered, lost: &[u64]) {
    let (mut spool, recovered) = open(directory);
    assert_eq!(recovered.missing, first.missing);
    assert_eq!(recovered.next_sequence, first.next_sequence);
    let next = spool.next_sequence();
    append(&mut spool, 3);
    drop(spool);
    let (mut spool, recovered) = open(directory);
    assert_eq!(recovered.missing, first.missing);
    for sequence in next..next + 3 {
        assert_eq!(spool.read(sequence).unwrap(), batch(sequence));
    }
    let again = check(&mut spool, &recovered);
    assert!(again.iter().all(|sequence| lost.contains(sequence)), "{again:?} {lost:?}");
}

#[test]
fn every_byte_flipped() {
    let (files, places) = sample();
    let folder = scratch();
    let directory = folder.path();
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            // The zeros that pad the state are all alike.
            let filling = name == "state" && at % 4096 > 200;
            let patterns: &[u8] = if filling { &[0x10] } else { &[0x01, 0x80, 0xff] };
            for pattern in patterns {
                let mut damaged = files.clone();
                damaged.get_mut(name).unwrap()[at] ^= pattern;
                store(directory, &damaged);
                let (mut spool, recovered) = open(directory);
                let lost = check(&mut spool, &recovered);
                let hit = places
                    .iter()
                    .find(|(_, (file, start, end))| file == name && (*start..*end).contains(&at));
                // Only the batch with the byte is lost.
                let expected: Vec<u64> = hit.map(|(sequence, _)| *sequence).into_iter().collect();
                assert_eq!(lost, expected, "byte {at} of {name}");
                assert_eq!(recovered.findings.len(), 1, "byte {at} of {name}: {recovered:?}");
                assert!(recovered.findings[0].to_string().contains(name), "{recovered:?}");
                assert!(!lease_lost(&recovered));
                assert_eq!((recovered.epoch, recovered.claims.as_slice()), (5, &[9][..]));
                drop(spool);
                // One place in each record and header is enough for the rest.
                if at % 64 == 7 {
                    goes_on(directory, &recovered, &lost);
                }
            }
        }
    }
}

#[test]
fn every_length_cut() {
    let (files, places) = sample();
    let folder = scratch();
    let directory = folder.path();
    let last = files.keys().rfind(|name| is_segment(name)).unwrap();
    for (name, bytes) in &files {
        for length in 0..bytes.len() {
            let mut damaged = files.clone();
            damaged.get_mut(name).unwrap().truncate(length);
            store(directory, &damaged);
            let (mut spool, recovered) = open(directory);
            let lost = check(&mut spool, &recovered);
            let expected: Vec<u64> = places
                .iter()
                .filter(|(_, (file, _, end))| file == name && *end > length)
                .map(|(sequence, _)| *sequence)
                .collect();
            assert_eq!(lost, expected, "{name} of {length} bytes");
            // A cut between two records of the last segment is invisible.
            let between = length == 0
                || length == 68
                || places.values().any(|(file, _, end)| file == name && *end == length);
            if name != last || !between {
                let told = recovered.findings.len() + recovered.missing.len();
                assert!(told > 0, "{name} of {length} bytes: {recovered:?}");
            }
            let state_lost = name == "state" && length < 4096;
            assert_eq!(lease_lost(&recovered), state_lost, "{length}: {recovered:?}");
            drop(spool);
            if length % 16 == 3 {
                goes_on(directory, &recovered, &lost);
            }
        }
    }
}

#[test]
fn a_torn_tail_is_cut_off_once() {
    let (mut files, places) = sample();
    let folder = scratch();
    let (name, start, end) = &places[&BATCHES];
    files.get_mut(name).unwrap().truncate(end - 1);
    store(folder.path(), &files);
    let (spool, recovered) = open(folder.path());
    let expected = Finding::TornTail {
        path: folder.path().join(name),
        offset: *start as u64,
        bytes: (end - 1 - start) as u64,
        batch: Some((BATCHES, rows(BATCHES))),
    };
    assert_eq!(recovered.findings, [expected]);
    assert_eq!(recovered.next_sequence, BATCHES);
    drop(spool);
    assert_eq!(open(folder.path()).1.findings, []);
}

#[test]
fn a_lost_segment_is_a_hole_of_known_size() {
    let (mut files, places) = sample();
    let names: Vec<String> = files.keys().filter(|name| is_segment(name)).cloned().collect();
    for lost in &names {
        let folder = scratch();
        let bytes = files.remove(lost).unwrap();
        store(folder.path(), &files);
        let (mut spool, recovered) = open(folder.path());
        let in_it = |it: &&u64| places[*it].0 == *lost;
        let expected: Vec<u64> = places.keys().filter(in_it).copied().collect();
        assert_eq!(check(&mut spool, &recovered), expected);
        files.insert(lost.clone(), bytes);
    }
}

#[test]
fn a_closed_spool_knows_what_its_end_had() {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    append(&mut spool, 10);
    spool.close().unwrap();
    let mut files = load(folder.path());
    files.retain(|name, _| !is_segment(name));
    store(folder.path(), &files);
    let (mut spool, recovered) = open(folder.path());
    assert_eq!(recovered.next_sequence, 11);
    assert_eq!(recovered.missing.len(), 1);
    assert_eq!((recovered.missing[0].first, recovered.missing[0].last), (1, 10));
    assert_eq!(recovered.missing[0].rows, (1..=10).map(rows).sum::<u64>());
    append(&mut spool, 1);
    drop(spool);
    let (mut spool, again) = open(folder.path());
    assert_eq!(again.missing, recovered.missing);
    assert_eq!(spool.read(11).unwrap(), batch(11));
    // The hole keeps its extent while any of it is pending.
    spool.acknowledge(4).unwrap();
    assert_eq!(spool.read(5).unwrap(), Stored::Missing(recovered.missing[0]));
    spool.acknowledge(10).unwrap();
    spool.close().unwrap();
    assert_eq!(open(folder.path()).1.missing, []);
}

#[test]
fn damage_after_opening_is_found_by_reading() {
    let (files, places) = sample();
    let folder = scratch();
    store(folder.path(), &files);
    let (mut spool, recovered) = open(folder.path());
    assert_eq!(recovered.findings, []);
    for (at, (name, start, end)) in [(places[&2].clone()), (places[&9].clone())].iter().enumerate()
    {
        let mut bytes = files[name].clone();
        // The payload of one, the header of the other.
        bytes[if at == 0 { end - 1 } else { start + 9 }] ^= 4;
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    for (sequence, stored) in (1..).zip(pending(&mut spool)) {
        match stored {
            Stored::Missing(missing) => {
                assert!([2, 9].contains(&sequence));
                assert_eq!((missing.first, missing.last), (sequence, sequence));
                assert_eq!(missing.rows, rows(sequence));
            }
            stored => assert_eq!(stored, batch(sequence)),
        }
    }
    assert!(matches!(spool.read(9).unwrap(), Stored::Missing(_)));
}

#[test]
fn a_record_within_a_payload_is_not_one() {
    let folder = scratch();
    let (mut spool, _) = open(folder.path());
    spool.append(1, 1, b"first").unwrap();
    let name = load(folder.path()).keys().find(|name| is_segment(name)).unwrap().clone();
    let segment = folder.path().join(&name);
    // The bytes of a real record, salt and all, in the payload of the next one.
    let record = fs::read(&segment).unwrap()[68..].to_vec();
    spool.append(2, 1, &record.repeat(3)).unwrap();
    let mut next = record.clone();
    next[8] = 3;
    spool.append(3, 1, &next).unwrap();
    drop(spool);
    let mut bytes = fs::read(&segment).unwrap();
    for header in [68, 68 + record.len()] {
        bytes[header + 12] ^= 1;
    }
    fs::write(&segment, bytes).unwrap();
    let (mut spool, recovered) = open(folder.path());
    assert_eq!(recovered.next_sequence, 4);
    assert!(matches!(spool.read(1).unwrap(), Stored::Missing(it) if it.last == 2 && it.rows == 2));
    assert_eq!(spool.read(3).unwrap(), Stored::Batch { sequence: 3, rows: 1, payload: next });
}

/// A file with this version in its first 16 bytes, which every version has.
fn newer(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at + 8] = 2;
    let check = crc32fast::hash(&bytes[at..at + 12]);
    bytes[at + 12..at + 16].copy_from_slice(&check.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_newer_version_is_refused_and_nothing_is_touched() {
    let (files, places) = sample();
    let places = [
        ("state".to_owned(), 0),
        ("state".to_owned(), 4096),
        (places[&1].0.clone(), 0),
        (places[&BATCHES].0.clone(), 0),
    ];
    for (name, at) in places {
        let folder = scratch();
        store(folder.path(), &files);
        // Damage that would otherwise be repaired.
        let last = files.keys().rfind(|name| is_segment(name)).unwrap();
        let cut = files[last].len() - 1;
        fs::write(folder.path().join(last), &files[last][..cut]).unwrap();
        newer(&folder.path().join(&name), at);
        let before = load(folder.path());
        let error = Spool::open(folder.path(), SMALL, PRODUCER).unwrap_err();
        assert!(matches!(error, Error::NewerVersion { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains(&name), "{error}");
        assert!(load(folder.path()) == before);
    }
}

#[test]
fn a_segment_of_another_spool_is_refused_and_nothing_is_touched() {
    let (files, _) = sample();
    let (others, _) = sample();
    let names: Vec<&String> = files.keys().filter(|name| is_segment(name)).collect();
    // In the place of ours, under another number, of the generations beside, of a far one.
    let gone = |name: &str, generation: u64| format!("{generation:020}{}", &name[20..]);
    let cases = [
        (names[1].clone(), &others[names[1]]),
        (names[1].clone(), &files[names[0]]),
        (gone(names[0], 0), &others[names[0]]),
        (gone(names[0], 2), &others[names[0]]),
        (gone(names[0], 9), &others[names[0]]),
    ];
    for (name, bytes) in cases {
        let folder = scratch();
        let mut mixed = files.clone();
        mixed.insert(name.clone(), bytes.clone());
        store(folder.path(), &mixed);
        let error = Spool::open(folder.path(), SMALL, PRODUCER).unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{name}: {error}");
        assert!(error.to_string().contains(&name), "{error}");
        assert!(load(folder.path()) == mixed);
    }
}

#[test]
fn other_files_are_left_alone() {
    let (mut files, _) = sample();
    let folder = scratch();
    for name in ["notes.txt", "1-1.segment", "00000000000000000001-x.segment", "state.bak"] {
        files.insert(name.to_owned(), b"mine".to_vec());
    }
    store(folder.path(), &files);
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    let (spool, recovered) = open(folder.path());
    assert_eq!(recovered.findings, []);
    drop(spool);
    fs::remove_dir(folder.path().join("lost+found")).unwrap();
    let left = load(folder.path());
    assert!(left.keys().eq(files.keys()));
    assert!(left.iter().all(|(name, bytes)| name == "state" || *bytes == files[name]));
    // A segment must be a file.
    let pipe: PathBuf = folder.path().join(format!("{:020}-{:020}.segment", 1, 500));
    fs::create_dir(&pipe).unwrap();
    let error = Spool::open(folder.path(), SMALL, PRODUCER).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn without_a_state_the_segments_say_who_it_is() {
    let (mut files, _) = sample();
    let folder = scratch();
    files.get_mut("state").unwrap().fill(0);
    store(folder.path(), &files);
    let (mut spool, recovered) = Spool::open(folder.path(), SMALL, [7; 16]).unwrap();
    assert!(lease_lost(&recovered));
    assert_eq!(recovered.producer_id, PRODUCER);
    assert_eq!((recovered.epoch, recovered.claims.len()), (0, 0));
    assert!(matches!(recovered.findings[..], [Finding::State { .. }]));
    assert_eq!(check(&mut spool, &recovered), []);
    drop(spool);
    // Without their headers, nothing does.
    for (name, bytes) in &mut files {
        if is_segment(name) {
            bytes[20] ^= 1;
        }
    }
    store(folder.path(), &files);
    let error = Spool::open(folder.path(), SMALL, PRODUCER).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
    assert!(load(folder.path()) == files);
}

/// An accident of a file.
#[derive(Debug, Clone)]
enum Edit {
    Flip(usize, u8),
    Zero(usize, usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    /// Copies a part of the file over another.
    Copy(usize, usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = 0..4096_usize;
    prop_oneof![
        (at.clone(), 1..=255_u8).prop_map(|(at, mask)| Edit::Flip(at, mask)),
        (at.clone(), 1..600_usize).prop_map(|(at, length)| Edit::Zero(at, length)),
        (at.clone(), 1..600_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (at.clone(), proptest::collection::vec(any::<u8>(), 1..100))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at.clone(), at, 1..600_usize).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let length = bytes.len();
    let place = |at: usize| at % (length + 1);
    match edit {
        Edit::Flip(at, mask) if length > 0 => bytes[at % length] ^= mask,
        Edit::Flip(..) => {}
        Edit::Zero(at, zeros) => bytes[place(*at)..].iter_mut().take(*zeros).for_each(|it| *it = 0),
        Edit::Remove(at, gone) => drop(bytes.drain(place(*at)..(place(*at) + gone).min(length))),
        Edit::Insert(at, new) => drop(bytes.splice(place(*at)..place(*at), new.iter().copied())),
        Edit::Copy(from, to, count) => {
            let part = bytes[place(*from)..].iter().take(*count).copied().collect::<Vec<_>>();
            let to = place(*to);
            bytes.splice(to..(to + part.len()).min(length), part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_damage(edits in proptest::collection::vec((any::<prop::sample::Index>(), edit()), 1..6)) {
        let (files, _) = sample();
        let folder = scratch();
        let mut damaged = files.clone();
        let names: Vec<&String> = files.keys().filter(|name| is_segment(name)).collect();
        for (which, edit) in &edits {
            apply(damaged.get_mut(*which.get(&names)).unwrap(), edit);
        }
        store(folder.path(), &damaged);
        let (mut spool, recovered) = open(folder.path());
        let lost = check(&mut spool, &recovered);
        drop(spool);
        goes_on(folder.path(), &recovered, &lost);
    }
}
