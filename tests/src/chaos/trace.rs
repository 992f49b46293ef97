//! What a process asks the kernel for, as strace sees it.

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::process::Process;

/// A strace that watches processes.
#[derive(Debug)]
pub struct Trace {
    strace: Process,
}

/// One system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// What was given to it, with the paths of files.
    pub arguments: String,
    /// When it began, counted in lines.
    pub begun: usize,
    /// When it had ended.
    pub ended: usize,
}

impl Trace {
    /// Begins to watch these calls of all threads of the processes, and of those that they start. Calls of different
    /// processes are in one order.
    ///
    /// # Errors
    /// When there is no strace, or it may not watch.
    pub async fn attach(processes: &[u32], calls: &str) -> Result<Self> {
        let mut command = Command::new("strace");
        // -y tells files by their paths; a page of a database and its header have to fit.
        command.args(["-f", "-y", "-s", "4500", "-e", &format!("trace={calls}")]);
        for process in processes {
            command.args(["-p", &process.to_string()]);
        }
        let mut strace = Process::start("strace", &mut command)?;
        for process in processes {
            let attached = format!("strace: Process {process} attached");
            strace.line(&attached, |line| line.starts_with(&attached).then_some(())).await?;
        }
        Ok(Self { strace })
    }

    /// The calls that have ended so far.
    ///
    /// # Errors
    /// When strace prints something else.
    pub fn calls(&self) -> Result<Vec<Call>> {
        read(&self.strace.output())
    }
}

fn read(lines: &[String]) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut begun: std::collections::HashMap<&str, (usize, String)> = std::collections::HashMap::new();
    for (number, line) in lines.iter().enumerate() {
        // A line without a thread is of a process that has one only.
        let (thread, rest) = match line.strip_prefix("[pid ").and_then(|line| line.split_once("] ")) {
            Some((thread, rest)) => (thread.trim(), rest),
            None => ("", line.as_str()),
        };
        if let Some(first) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, (number, first.to_owned()));
            continue;
        }
        let (start, text) = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let Some((start, first)) = begun.remove(thread) else { continue };
                let end = resumed.split_once(" resumed>").context("a call that goes on without a name")?.1;
                (start, first + end)
            }
            None => (number, rest.to_owned()),
        };
        let Some((name, arguments)) = text.split_once('(') else { continue };
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let (name, arguments) = (name.to_owned(), arguments.to_owned());
            calls.push(Call { name, arguments, begun: start, ended: number });
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn calls_of_several_threads_are_put_together() {
        let lines = [
            "strace: Process 7 attached with 3 threads",
            r#"[pid     8] fdatasync(5</d/x-wal> <unfinished ...>"#,
            r#"[pid     9] writev(6<socket:[1]>, [{iov_base="a(b", iov_len=3}], 1) = 3"#,
            r#"[pid     8] <... fdatasync resumed>)     = 0"#,
        ];
        let calls = read(&lines.map(str::to_owned)).unwrap();
        let names: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.begun, call.ended)).collect();
        assert_eq!(names, [("writev", 2, 2), ("fdatasync", 1, 3)]);
        assert!(calls[1].arguments.starts_with("5</d/x-wal>"), "{calls:?}");
    }
}
