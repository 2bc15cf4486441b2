//! How a server's words are printed.

use super::*;

#[test]
fn the_words_of_a_server_stay_as_they_are_but_steer_no_terminal() {
    let status = tonic::Status::unavailable("the server's log \"says\" C:\\ \x1b[2J");
    assert_eq!(describe(&status), "the server's log \"says\" C:\\ \\u{1b}[2J");
}
