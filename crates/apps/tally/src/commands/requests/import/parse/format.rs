//! `--format`: how lines are written.

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

// === impl LogFormat ===

impl LogFormat {
    /// Whether lines with a `#` may say something about others.
    pub(crate) fn has_directives(&self) -> bool {
        matches!(self, Self::Auto | Self::Clf)
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        Ok(match given {
            "auto" => Self::Auto,
            // The names that nginx and Apache have for it.
            "clf" | "common" | "combined" => Self::Clf,
            "json" => Self::Json,
            _ if given.contains(['$', '%']) => Self::Template(Arc::new(given.parse()?)),
            _ => {
                return Err(
                    "known are auto, clf, common, combined and json; of another format of \
                            nginx or Apache, paste the log_format or LogFormat itself, not its name"
                        .to_owned(),
                );
            }
        })
    }
}
