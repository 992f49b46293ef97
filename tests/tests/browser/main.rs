//! The chat as people see it: the page in real Chromium, each person in a browser of their own.

mod looks;
mod recovery;
mod signing_in;
mod talking;
