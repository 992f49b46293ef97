//! The chat as people see it: the page in real Chromium, each person in a browser of their own.

mod changing;
mod embedded;
mod fallback;
mod hostile;
mod https;
mod looks;
mod recovery;
mod rooms;
mod searching;
mod signing;
mod signing_in;
mod sockjs_client;
mod talking;
