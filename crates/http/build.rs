//! Lets cargo embed the page again when a file is added to it: `include_bytes!` only notices changed ones.

use std::path::Path;

fn main() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../static"));
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["index.html", "favicon.svg", "favicon.ico", "manifest.webmanifest", "css", "js", "img"] {
        let path = root.join(name);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}
