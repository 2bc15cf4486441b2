//! Requests as they travel from the reader's thread, without an allocation for each.

use super::parse::Record;

/// Requests in order. Their paths lie one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    all: Vec<Place>,
    paths: String,
}

/// A request; its path follows the one before it in `paths`.
#[derive(Debug, Clone, Copy)]
struct Place {
    micros: i64,
    method: i32,
    /// How long its path is; none: that of the one before it.
    path_bytes: Option<u32>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) method: i32,
    pub(crate) path: &'a str,
    /// Microseconds since 1970, UTC.
    pub(crate) micros: i64,
}

// === impl Requests ===

impl Requests {
    /// Adds what a line stands for.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        let Record { method, path, micros, times } = record;
        let (method, micros) = (*method, *micros);
        let path_bytes = Some(u32::try_from(path.len()).expect("lines are shorter"));
        self.paths.push_str(path);
        self.all.push(Place { micros, method, path_bytes });
        for _ in 1..*times {
            self.all.push(Place { micros, method, path_bytes: None });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Request<'_>> {
        let mut path = 0..0;
        self.all.iter().map(move |place| {
            if let Some(bytes) = place.path_bytes {
                path = path.end..path.end + bytes as usize;
            }
            let Place { method, micros, .. } = *place;
            Request { method, path: &self.paths[path.clone()], micros }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_path() {
        let mut requests = Requests::default();
        let all = [(3, "/a", 7, 1), (6, "", 8, 2), (3, "/\u{e4}/b", -9, 3), (3, "/c", 7, 1)];
        for (method, path, micros, times) in all {
            requests.push(&Record { method, path: path.into(), micros, times });
        }
        let expected = all.into_iter().flat_map(|(method, path, micros, times)| {
            (0..times).map(move |_| Request { method, path, micros })
        });
        assert!(requests.iter().eq(expected));
        assert_eq!(requests.len(), 7);
    }
}
