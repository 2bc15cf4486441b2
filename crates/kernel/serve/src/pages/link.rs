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

    /// Adds a parameter, with any value.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push(if self.has_parameters { '&' } else { '?' });
        self.has_parameters = true;
        self.encode(name);
        self.text.push('=');
        self.encode(value);
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

    fn encode(&mut self, text: &str) {
        for byte in text.bytes() {
            // A slash and a colon need no escape in a query, and people read paths.
            if byte.is_ascii_alphanumeric() || b"-._~/:,".contains(&byte) {
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
}
