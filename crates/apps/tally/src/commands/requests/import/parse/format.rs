//! `--format`.

use std::str::FromStr;
use std::sync::Arc;

use super::template::Template;

/// How lines are written.
#[derive(Debug, Clone, Default)]
pub(crate) enum LogFormat {
    /// JSON or text, decided line by line, or what `#Fields:` says.
    #[default]
    Auto,
    /// The same without JSON.
    Clf,
    Json,
    /// As a server's configuration says.
    Template(Arc<Template>),
}

// === impl LogFormat ===

impl LogFormat {
    pub(crate) fn has_directives(&self) -> bool {
        matches!(self, Self::Auto | Self::Clf)
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        Ok(match given {
            "auto" => Self::Auto,
            // The names in nginx and Apache.
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
