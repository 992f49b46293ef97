//! `fanout`: what it costs to bring one message to many, here and at somebody else's, turn and turn about.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Serialize;

use crate::check::Faults;
use crate::cli::Which;
use crate::group::{Group, Load, Round};
use crate::lab::Lab;
use crate::latency::median;
use crate::mosquitto::Mosquitto;
use crate::process::Process;
use crate::target::Target;

#[derive(Args, Debug)]
pub(crate) struct Fanout {
    #[command(flatten)]
    which: Which,
    /// Compare with this server or broker
    #[arg(long, value_name = "URL")]
    peer: Option<String>,
    /// Compare with a Mosquitto that is started for this, by MQTT over WebSocket
    #[arg(long, conflicts_with = "peer")]
    mosquitto: bool,
    /// The same by plain MQTT
    #[arg(long, conflicts_with_all = ["peer", "mosquitto"])]
    mosquitto_tcp: bool,
    /// Who gets each message
    #[arg(long, default_value_t = 500)]
    receivers: usize,
    /// Messages in a round
    #[arg(long, default_value_t = 1000)]
    messages: u32,
    /// Messages that not all receivers have yet, at most
    #[arg(long, default_value_t = 64)]
    window: u32,
    /// Messages a second; without it as fast as they are delivered
    #[arg(long)]
    rate: Option<f64>,
    /// Characters of a message
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Rounds that count; one more before them does not
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// QoS of the subscriptions at a broker
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
}

#[derive(Debug, Serialize)]
pub(crate) struct FanoutReport {
    receivers: usize,
    messages: u32,
    rounds: usize,
    sides: Vec<Side>,
    /// The first side's deliveries a second by the other's, round by round: the middle, the least, the most.
    deliveries_ratio: Option<Ratio>,
    /// The same of processor time for a million deliveries.
    cpu_ratio: Option<Ratio>,
}

#[derive(Debug, Serialize)]
struct Side {
    target: String,
    /// The middle of all rounds.
    deliveries_per_second: f64,
    server_cpu_seconds_per_million: Option<f64>,
    own_cpu_seconds_per_million: f64,
    delivery_p50_ms: f64,
    delivery_p99_ms: f64,
    faults: Faults,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Ratio {
    median: f64,
    least: f64,
    most: f64,
}

impl Fanout {
    pub(crate) async fn run(&self) -> Result<FanoutReport> {
        ensure!(self.receivers > 0 && self.messages > 0 && self.window > 0, "nothing would be delivered");
        let lab = Lab::open(&self.which).await?;
        let load = Load {
            receivers: self.receivers,
            messages: self.messages,
            window: self.window,
            rate: self.rate,
            text: "x".repeat(self.size),
            qos: self.qos,
        };
        let mut groups = Vec::new();
        let mut first = Group::join(lab.target.clone(), lab.process, load.clone()).await?;
        let mosquitto =
            if self.mosquitto || self.mosquitto_tcp { Some(Mosquitto::start().await?) } else { None };
        if let Some((target, process)) = self.peer(mosquitto.as_ref())? {
            let second = tokio::select! {
                joined = Group::join(target, process, load) => joined?,
                ended = first.rest() => match ended {
                    Err(error) => return Err(error),
                },
            };
            groups.push(second);
        }
        groups.insert(0, first);
        let mut rounds: Vec<Vec<Round>> = groups.iter().map(|_| Vec::new()).collect();
        for round in 0..=self.rounds {
            // First one, then the other, then the other way round: what drifts hits both alike.
            let mut order: Vec<usize> = (0..groups.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for side in order {
                let done = turn(&mut groups, side).await?;
                if round > 0 {
                    rounds[side].push(done);
                }
            }
        }
        let sides: Vec<Side> = groups.iter().zip(rounds).map(|(group, rounds)| side(group, rounds)).collect();
        Ok(FanoutReport {
            receivers: self.receivers,
            messages: self.messages,
            rounds: self.rounds,
            deliveries_ratio: ratio(&sides, |round| Some(round.deliveries_per_second)),
            cpu_ratio: ratio(&sides, |round| round.server_cpu_seconds_per_million),
            sides,
        })
    }

    fn peer(&self, mosquitto: Option<&Mosquitto>) -> Result<Option<(Target, Option<Process>)>> {
        if let Some(mosquitto) = mosquitto {
            let target = mosquitto.url(self.mosquitto).parse()?;
            return Ok(Some((target, mosquitto.process())));
        }
        let Some(peer) = &self.peer else { return Ok(None) };
        let target: Target = peer.parse().with_context(|| format!("{peer:?} can't be compared with"))?;
        let process = Process::listening_on(target.address.port());
        Ok(Some((target, process)))
    }
}

/// A round of one side, while the other is kept alive.
async fn turn(groups: &mut [Group], side: usize) -> Result<Round> {
    match (groups, side) {
        ([alone], _) => alone.round().await,
        ([active, other], 0) | ([other, active], _) => tokio::select! {
            done = active.round() => done,
            ended = other.rest() => match ended {
                Err(error) => Err(error),
            },
        },
        _ => bail!("two sides are compared at most"),
    }
}

fn side(group: &Group, rounds: Vec<Round>) -> Side {
    let middle = |of: fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>()).unwrap_or(0.0);
    let costs: Option<Vec<f64>> = rounds.iter().map(|round| round.server_cpu_seconds_per_million).collect();
    Side {
        target: group.target.to_string(),
        deliveries_per_second: middle(|round| round.deliveries_per_second),
        server_cpu_seconds_per_million: costs.and_then(|costs| median(&costs)),
        own_cpu_seconds_per_million: middle(|round| round.own_cpu_seconds_per_million),
        delivery_p50_ms: middle(|round| round.delivery.p50_ms),
        delivery_p99_ms: middle(|round| round.delivery.p99_ms),
        faults: group.verdict(),
        rounds,
    }
}

/// Of the pairs of rounds of two sides.
fn ratio(sides: &[Side], of: impl Fn(&Round) -> Option<f64>) -> Option<Ratio> {
    let [first, second] = sides else { return None };
    let pairs = first.rounds.iter().zip(&second.rounds);
    let ratios: Option<Vec<f64>> = pairs.map(|(first, second)| Some(of(first)? / of(second)?)).collect();
    ratios.and_then(|ratios| ratio_of(&ratios))
}

fn ratio_of(ratios: &[f64]) -> Option<Ratio> {
    Some(Ratio {
        median: median(ratios)?,
        least: ratios.iter().copied().reduce(f64::min)?,
        most: ratios.iter().copied().reduce(f64::max)?,
    })
}

impl FanoutReport {
    pub(crate) fn good(&self) -> bool {
        self.sides.iter().all(|side| side.faults.none())
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}

impl fmt::Display for FanoutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receivers, messages, rounds, .. } = self;
        writeln!(f, "{messages} messages to {receivers} receivers, {rounds} rounds, medians")?;
        for side in &self.sides {
            writeln!(f, "  {}", side.target)?;
            writeln!(f, "    deliveries           {:.0} a second", side.deliveries_per_second)?;
            if let Some(cpu) = side.server_cpu_seconds_per_million {
                writeln!(f, "    processor of server  {cpu:.2} s for a million deliveries")?;
            }
            writeln!(f, "    processor of this    {:.2} s", side.own_cpu_seconds_per_million)?;
            let (p50, p99) = (side.delivery_p50_ms, side.delivery_p99_ms);
            writeln!(f, "    delivered after      median {p50:.2} ms, 99 % {p99:.2}")?;
            writeln!(f, "    history              {}", side.faults)?;
        }
        if let Some(ratio) = &self.deliveries_ratio {
            writeln!(f, "  deliveries a second, first by second   {ratio}")?;
        }
        if let Some(ratio) = &self.cpu_ratio {
            writeln!(f, "  processor time, first by second        {ratio}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_of_pairs() {
        assert_eq!(ratio_of(&[2.0, 0.5, 1.0]), Some(Ratio { median: 1.0, least: 0.5, most: 2.0 }));
        assert_eq!(ratio_of(&[]), None);
    }
}
