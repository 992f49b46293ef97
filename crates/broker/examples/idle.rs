//! An idle embedded broker, to look at its memory and CPU: `cargo run --release -p mqttchat-broker --example idle`.
//! Prints both every 10 s until it is interrupted.

use std::time::Duration;

use mqttchat_broker::{BrokerOptions, EmbeddedBroker};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = EmbeddedBroker::start(BrokerOptions::default()).await?;
    let mut out = std::io::stdout();
    loop {
        use std::io::Write as _;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS unknown");
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // Fields 14 and 15: user and system time in ticks of 10 ms.
        let ticks: u64 =
            stat.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        writeln!(out, "{resident}, cpu {} ms, restarts {}", ticks * 10, broker.restarts())?;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}
