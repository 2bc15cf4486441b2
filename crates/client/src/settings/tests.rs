//! The name within the server's limits.

use super::*;

#[test]
fn a_name_is_cut_between_characters() {
    let mut settings = Settings::new("http://a");
    settings.name = format!("{}\u{20ac}", "x".repeat(198));
    assert_eq!(settings.short_name(), "x".repeat(198));
    settings.name = "a\0b".to_owned();
    assert_eq!(settings.short_name(), "a b");
}
