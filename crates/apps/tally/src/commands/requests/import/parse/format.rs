//! `--format`: how lines are written.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::template::Template;

/// How lines are written.
#[derive(Debug, Clone, Default)]
pub(crate) enum LogFormat {
    /// JSON, or text with a time and a request in quotes, decided line by line; or what `#Fields:`
    /// says.
    #[default]
    Auto,
    /// The same without JSON.
    Clf,
    /// JSON lines.
    Json,
    /// What a server's own configuration says.
    Template(Arc<Template>),
}

/// What was given for `--format`.
#[derive(Debug, Clone)]
pub(crate) struct FormatArg {
    pub(crate) given: String,
    pub(crate) format: LogFormat,
}

// === impl LogFormat ===

impl LogFormat {
    /// Whether lines with a `#` may say something about others.
    pub(crate) fn has_directives(&self) -> bool {
        matches!(self, Self::Auto | Self::Clf)
    }
}

// === impl FormatArg ===

impl FromStr for FormatArg {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let format = match given {
            "auto" => LogFormat::Auto,
            // The names that nginx and Apache have for it.
            "clf" | "common" | "combined" => LogFormat::Clf,
            "json" => LogFormat::Json,
            _ if given.contains(['$', '%']) => LogFormat::Template(Arc::new(given.parse()?)),
            _ => {
                return Err(
                    "known are auto, clf, common, combined and json; of another format of \
                            nginx or Apache, paste the log_format or LogFormat itself, not its name"
                        .to_owned(),
                );
            }
        };
        Ok(Self { given: given.to_owned(), format })
    }
}

impl fmt::Display for FormatArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}
