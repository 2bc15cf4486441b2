//! Builds this crate again when a migration is added: the embedding macro does not see that.

fn main() {
    println!("cargo:rerun-if-changed=../../../migrations");
}
