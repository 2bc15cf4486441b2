//! How far apart two spellings are.

/// How many bytes must be replaced, added or left out to make one text of the other: the Levenshtein
/// distance.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<_> = (0..=b.len()).collect();
    for (at, letter) in (1..).zip(a.bytes()) {
        let mut diagonal = row[0];
        row[0] = at;
        for (column, other) in (1..).zip(b.bytes()) {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column];
            row[column] = replaced.min(diagonal + 1).min(row[column - 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("Berlin", "Bremen", 4)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
