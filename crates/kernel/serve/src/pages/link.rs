//! Addresses with parameters.

use std::fmt::Write as _;

/// A path of this server with parameters, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    text: String,
    has_parameters: bool,
}

// === impl Link ===

impl Link {
    /// To a path of this server, which never comes from strangers.
    #[must_use]
    pub fn to(path: &'static str) -> Self {
        Self { text: path.to_owned(), has_parameters: false }
    }

    /// Adds a part to the path, before any parameter. No link leads to a part that is empty, `.` or `..`:
    /// browsers resolve those.
    #[must_use]
    pub fn part(mut self, part: &str) -> Self {
        debug_assert!(!self.has_parameters, "a path ends where its parameters begin");
        self.text.push('/');
        self.encode(part, b"-._~:,");
        self
    }

    /// Adds a place in the page, which is the last thing that is added.
    #[must_use]
    pub fn at(mut self, id: &str) -> Self {
        self.text.push('#');
        self.encode(id, b"-._~");
        self
    }

    /// Adds a parameter, with any value.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_parameters { '&' } else { '?' });
        self.has_parameters = true;
        // A slash and a colon need no escape in a query, and people read paths.
        self.encode(name, b"-._~/:,");
        self.text.push('=');
        self.encode(value, b"-._~/:,");
        self
    }

    /// Adds a parameter, if there is a value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(name, value.as_ref()),
            None => self,
        }
    }

    /// As text for an `href`.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn encode(&mut self, text: &str, plain: &[u8]) {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
                self.text.push(byte.into());
            } else {
                let _ = write!(self.text, "%{byte:02X}");
            }
        }
    }
}

impl maud::Render for Link {
    fn render_to(&self, buffer: &mut String) {
        self.text.render_to(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_parameter() {
        let link = Link::to("/requests").with("path", "/a b&c=\"é#").with("tz", "Asia/Kolkata");
        assert_eq!(link.into_text(), "/requests?path=/a%20b%26c%3D%22%C3%A9%23&tz=Asia/Kolkata");
    }

    #[test]
    fn parts_cannot_leave_their_place() {
        let link = Link::to("/timelines").part("a/b?c").part("..#\\").with("by", "host").at("r 1");
        assert_eq!(link.into_text(), "/timelines/a%2Fb%3Fc/..%23%5C?by=host#r%201");
    }
}
