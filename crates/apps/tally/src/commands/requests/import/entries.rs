//! Packed entries on their way from the reader's thread, without an allocation for each.

use super::parse::Entry;

/// Entries in order; their paths follow one another.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    all: Vec<Packed>,
    paths: String,
    /// The line of each request.
    pub(super) lines: Vec<u64>,
}

/// An entry; its path follows that of the one before it in `paths`.
#[derive(Debug)]
struct Packed {
    micros: i64,
    method: i32,
    path_bytes: u32,
    times: u32,
    /// Where its line begins in the text.
    start: u64,
    status: u16,
}

// === impl Entries ===

impl Entries {
    /// Adds the entry of the line with this number, which begins here in the text.
    pub(crate) fn push(&mut self, entry: &Entry<'_>, line: u64, start: u64) {
        let Entry { method, ref path, status, micros, times } = *entry;
        let path_bytes = u32::try_from(path.len()).expect("lines are shorter");
        self.paths.push_str(path);
        self.all.push(Packed { micros, method, path_bytes, times, start, status });
        self.lines.resize(self.lines.len() + times as usize, line);
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn requests(&self) -> usize {
        self.lines.len()
    }

    /// Where the line of a request begins, its number, and how many of its requests come before this
    /// one. `None` behind the last one.
    pub(crate) fn place(&self, request: usize) -> Option<(u64, u64, u32)> {
        let line = *self.lines.get(request)?;
        let mut before = 0;
        let packed = self.all.iter().find(|packed| {
            before += packed.times as usize;
            before > request
        })?;
        let within = request - (before - packed.times as usize);
        Some((packed.start, line, u32::try_from(within).ok()?))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = self.paths.as_str();
        self.all.iter().map(move |packed| {
            let Packed { micros, method, path_bytes, times, status, .. } = *packed;
            let (path, after) = rest.split_at(path_bytes as usize);
            rest = after;
            Entry { method, path: path.into(), status, micros, times }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_has_its_path_and_each_request_its_line() {
        let mut entries = Entries::default();
        let all = [
            (3, "/a", 200, 7, 1),
            (6, "", 0, 8, 2),
            (3, "/\u{e4}/b", 404, -9, 3),
            (3, "/c", 200, 7, 1),
        ]
        .map(|(method, path, status, micros, times)| {
            let path = path.into();
            Entry { method, path, status, micros, times }
        });
        for (line, entry) in (1..).zip(&all) {
            entries.push(entry, line, 10 * line);
        }
        assert!(entries.iter().eq(all));
        assert_eq!(entries.requests(), 7);
        assert_eq!(entries.lines, [1, 2, 2, 3, 3, 3, 4]);
        let places = [0, 1, 2, 5, 6, 7].map(|request| entries.place(request));
        let expected = [(10, 1, 0), (20, 2, 0), (20, 2, 1), (30, 3, 2), (40, 4, 0)].map(Some);
        assert_eq!(places[..5], expected);
        assert_eq!(places[5], None);
    }
}
