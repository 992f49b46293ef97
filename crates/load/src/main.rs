//! placeholder of the skeleton
fn main() {}
