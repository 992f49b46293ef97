//! What the kernel knows about this process, as Prometheus clients name it. Linux only; elsewhere nothing is said.

use std::fs;

use metrics::gauge;

/// Clock ticks a second in `/proc/self/stat`: `USER_HZ`, which is 100 wherever Linux runs today.
const TICKS: f64 = 100.0;

/// Brings the `process_*` metrics up to date.
pub(crate) fn measure() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        gauge!("process_resident_memory_bytes").set(bytes);
    }
    if let Some(threads) = line(&status, "Threads:").and_then(|threads| threads.parse().ok()) {
        gauge!("process_threads").set::<f64>(threads);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The listing itself is one of them.
        gauge!("process_open_fds").set(files.count().saturating_sub(1) as f64);
    }
    if let Some(limit) = fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(file_limit) {
        gauge!("process_max_fds").set(limit);
    }
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
        // A counter by meaning; the facade's counters have no fractions.
        gauge!("process_cpu_seconds_total").set(seconds);
    }
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let kilobytes: f64 = line(status, "VmRSS:")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn file_limit(limits: &str) -> Option<f64> {
    line(limits, "Max open files")?.split_whitespace().next()?.parse().ok()
}

/// User and system time. The command's name, in parentheses, may hold anything; fields are counted behind it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files() {
        assert_eq!(resident_bytes("VmHWM:\t   99 kB\nVmRSS:\t   2048 kB\n"), Some(2_097_152.0));
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024    4096    files\n";
        assert_eq!(file_limit(limits), Some(1024.0));
        assert_eq!(cpu_seconds("7 (a ) b) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 0 0 20"), Some(2.0));
        assert_eq!(cpu_seconds(""), None);
    }
}
