//! Builds the crate again when a migration is added: the compiler itself sees changed ones only.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
