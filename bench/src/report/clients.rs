//! The tables of the clients.

use anyhow::Result;

use crate::clients::{Entry, Measurement, YARDSTICK};
use crate::stats::{Summary, show};
use crate::table::{Style, Table};

/// Two tables for each way to make calls, what was measured and how it compares, and what went wrong.
pub(crate) fn clients(entries: &Result<Vec<Entry>>, style: Style) -> String {
    let entries = match entries {
        Ok(entries) => entries,
        Err(e) => return format!("clients: error: {e:#}\n"),
    };
    let rounds = entries.iter().filter_map(|e| e.outcome.as_ref().ok()).map(Vec::len).max();
    let mut text = match rounds {
        Some(rounds) => format!("Clients. Rounds: {rounds}. Shown are medians (least..most).\n\n"),
        None => String::new(),
    };
    for entries in entries.chunk_by(|a, b| std::ptr::eq(a.way, b.way)) {
        text.push_str(&absolute(entries).render(style));
        text.push_str(&relative(entries).render(style));
        text.extend(entries.iter().filter_map(failure));
    }
    text
}

fn failure(entry: &Entry) -> Option<String> {
    let error = entry.outcome.as_ref().err()?;
    Some(format!("clients: {}: {}: error: {error}\n\n", entry.way.title, entry.name))
}

fn absolute(entries: &[Entry]) -> Table {
    let columns = ["client", "calls/s", "median µs", "p99 µs", "CPU µs/call", "switches/1k"];
    let mut table = Table::new(format!("clients, {}: measured", entries[0].way.title), &columns);
    for entry in entries {
        let cells = match &entry.outcome {
            Ok(measurements) => measured(measurements),
            Err(_) => vec!["error".to_owned()],
        };
        table.row([entry.name.to_owned()].into_iter().chain(cells));
    }
    table
}

fn measured(measurements: &[Measurement]) -> Vec<String> {
    let cell = |decimals: usize, of: fn(&Measurement) -> Option<f64>| {
        show(Summary::of(measurements.iter().filter_map(of)), decimals)
    };
    vec![
        cell(0, |m| Some(m.rate())),
        cell(1, median),
        cell(1, p99),
        cell(2, |m| Some(m.cpu())),
        cell(1, |m| Some(m.switches())),
    ]
}

fn relative(entries: &[Entry]) -> Table {
    let title = format!("clients, {}: ÷ {YARDSTICK}, round by round", entries[0].way.title);
    let mut table = Table::new(title, &["client", "calls/s", "median", "p99", "CPU/call"]);
    let yardstick = entries.iter().find(|entry| entry.name == YARDSTICK);
    let yardstick = yardstick.and_then(|it| it.outcome.as_deref().ok()).unwrap_or_default();
    for entry in entries {
        let cells = match &entry.outcome {
            Ok(own) => ratios(own, yardstick),
            Err(_) => vec!["error".to_owned()],
        };
        table.row([entry.name.to_owned()].into_iter().chain(cells));
    }
    table
}

/// Each pair is of one round.
fn ratios(own: &[Measurement], yardstick: &[Measurement]) -> Vec<String> {
    let cell = |of: fn(&Measurement) -> Option<f64>| {
        let pairs = own.iter().zip(yardstick);
        show(Summary::of(pairs.filter_map(|(own, other)| Some(of(own)? / of(other)?))), 2)
    };
    vec![cell(|m| Some(m.rate())), cell(median), cell(p99), cell(|m| Some(m.cpu()))]
}

fn median(measurement: &Measurement) -> Option<f64> {
    measurement.latency.map(|(median, _)| median.as_secs_f64() * 1e6)
}

fn p99(measurement: &Measurement) -> Option<f64> {
    measurement.latency.map(|(_, p99)| p99.as_secs_f64() * 1e6)
}
