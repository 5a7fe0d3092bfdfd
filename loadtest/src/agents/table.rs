//! The figures of a run for a person.

use super::report::{Figures, Percentiles, Report};

/// Prints what was found.
pub(super) fn print(report: &Report) {
    for line in lines(report) {
        println!("{line}");
    }
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut row = |name: &str, value: String| lines.push(format!("{name:<34} {value}"));
    if let Some(join) = report.join {
        let seconds = join.took_ms / 1_000.0;
        row("joined", format!("{} ({} kept ones) in {seconds:.1} s", join.joined, join.reused));
    }
    if let Some(opened) = report.opened {
        row("in service", format!("{} after {:.1} s", opened.in_service, opened.took_ms / 1_000.0));
        row("  each", times(opened.each_ms));
    }
    if let Some(hub) = report.hub {
        row("hub's memory before", format!("{} KiB", hub.before.rss_kib));
        if let (Some(with), Some(each)) = (hub.with_agents, hub.kib_per_agent) {
            row("hub's memory with agents", format!("{} KiB", with.rss_kib));
            row("  per agent", format!("{each:.1} KiB"));
        }
    }
    match &report.figures {
        Some(Figures::Idle(idle)) => {
            row("keep-alives", format!("{:.1} a second", idle.keep_alives_per_second));
            if let (Some(all), Some(each)) =
                (idle.hub_cpu_percent_of_a_core, idle.hub_cpu_percent_per_2000_agents)
            {
                row("hub's CPU", format!("{all:.2} % of a core, {each:.2} % per 2,000 agents"));
            }
            row("lost", idle.lost.to_string());
        }
        Some(Figures::Storm(storm)) => {
            row("lost", format!("{}, {}", storm.lost, times(storm.lost_after_ms)));
            row("back since the first loss", times(storm.back_after_ms));
            row("away", times(storm.away_ms));
            row("attempts", storm.attempts.to_string());
            row("  without an answer", storm.handshake_failures.to_string());
            row("  refused", format!("{:?}", storm.refused));
            row("lost again", storm.lost_again.to_string());
        }
        Some(Figures::Flapping(flapping)) => {
            row("tunnels lost on purpose", flapping.losses_made.to_string());
            row("came back", format!("{}, {}", flapping.reconnected, times(flapping.away_ms)));
            row("steady agents that were lost", flapping.steady_lost.to_string());
        }
        Some(Figures::Slow(slow)) => {
            row("slow ones", format!("{}, {}", slow.slow, times(slow.handshake_ms)));
            row("slow ones that were lost", slow.slow_lost.to_string());
            row("steady agents that were lost", slow.steady_lost.to_string());
        }
        Some(Figures::Hostile(hostile)) => {
            for (kind, attempts) in &hostile.kinds {
                row(
                    kind,
                    format!(
                        "{} tried, {} ended as they should, {} otherwise",
                        attempts.tried, attempts.as_expected, attempts.otherwise
                    ),
                );
            }
            row("steady agents that were lost", hostile.steady_lost.to_string());
        }
        None => {}
    }
    if let Some(failed) = &report.failed {
        row("failed", failed.clone());
    }
    lines
}

fn times(times: Percentiles) -> String {
    format!("p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms", times.p50, times.p99, times.max)
}
