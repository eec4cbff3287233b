//! The tables.

mod clients;

pub(crate) use clients::clients;

use anyhow::Result;

use crate::contest::{Entry, Measurement};
use crate::engines::{Series, YARDSTICK};
use crate::load::Shape;
use crate::micro::{Micro, Row};
use crate::profile::Profile;
use crate::programs::{BARE, TONIC};
use crate::stats::{Summary, show};
use crate::table::{Style, Table};

/// How many of the symbols of a profile are shown.
const SYMBOLS: usize = 25;

/// Two tables for each shape, what was measured and what of it counts, and what went wrong.
pub(crate) fn servers(entries: &[Entry], style: Style) -> String {
    let rounds = entries.iter().filter_map(|e| e.outcome.as_ref().ok()).map(Vec::len).max();
    let mut text = match rounds {
        Some(rounds) => format!("Rounds: {rounds}. Shown are medians (least..most).\n\n"),
        None => String::new(),
    };
    for entries in entries.chunk_by(|a, b| a.shape == b.shape) {
        text.push_str(&absolute(entries).render(style));
        text.push_str(&relative(entries).render(style));
        text.push_str(&failures(entries));
    }
    text
}

fn failures(entries: &[Entry]) -> String {
    let failed = |entry: &Entry| {
        let error = entry.outcome.as_ref().err()?;
        Some(format!("{} {}: error: {error}\n\n", entry.shape, entry.name))
    };
    entries.iter().filter_map(failed).collect()
}

fn absolute(entries: &[Entry]) -> Table {
    let title = format!("{}: measured", describe(entries[0].shape));
    let columns =
        ["server", "requests/s", "CPU µs/request", "user s", "system s", "peak MiB", "switches/1k"];
    let mut table = Table::new(title, &columns);
    for entry in entries {
        let cells = match &entry.outcome {
            Ok(measurements) => measured(measurements),
            Err(_) => vec!["error".to_owned()],
        };
        table.row([entry.name.clone()].into_iter().chain(cells));
    }
    table
}

fn measured(measurements: &[Measurement]) -> Vec<String> {
    let cell = |decimals: usize, of: fn(&Measurement) -> f64| {
        show(Summary::of(measurements.iter().map(of)), decimals)
    };
    vec![
        cell(0, |m| m.rate),
        cell(2, Measurement::cpu),
        cell(2, |m| m.usage.user.as_secs_f64()),
        cell(2, |m| m.usage.system.as_secs_f64()),
        cell(1, |m| m.usage.peak as f64 / 1024.0),
        cell(1, |m| m.usage.switches as f64 * 1000.0 / m.requests as f64),
    ]
}

fn relative(entries: &[Entry]) -> Table {
    let title = format!("{}: compared, round by round", describe(entries[0].shape));
    let columns = [
        "server".to_owned(),
        format!("requests/s ÷ {TONIC}"),
        format!("CPU ÷ {TONIC}"),
        format!("requests/s ÷ {BARE}"),
        format!("CPU ÷ {BARE}"),
    ];
    let mut table = Table::new(title, &columns.each_ref().map(String::as_str));
    for entry in entries {
        let cells = match &entry.outcome {
            Ok(own) => [TONIC, BARE].map(|peer| ratios(own, of(entries, peer))).concat(),
            Err(_) => vec!["error".to_owned()],
        };
        table.row([entry.name.clone()].into_iter().chain(cells));
    }
    table
}

fn of<'a>(entries: &'a [Entry], name: &str) -> &'a [Measurement] {
    let entry = entries.iter().find(|entry| entry.name == name);
    entry.and_then(|entry| entry.outcome.as_deref().ok()).unwrap_or_default()
}

/// Rate and processor time over a peer's, each pair of one round.
fn ratios(own: &[Measurement], peer: &[Measurement]) -> Vec<String> {
    let cell = |of: fn(&Measurement) -> f64| {
        let pairs = own.iter().zip(peer);
        show(Summary::of(pairs.map(|(own, peer)| of(own) / of(peer))), 3)
    };
    vec![cell(|m| m.rate), cell(Measurement::cpu)]
}

fn describe(shape: Shape) -> String {
    format!("{shape} (connections x streams)")
}

/// The time of single operations, and their system calls.
pub(crate) fn micro(micro: &Result<Micro>, style: Style) -> String {
    let micro = match micro {
        Ok(micro) => micro,
        Err(e) => return format!("micro: error: {e:#}\n"),
    };
    let mut times = Table::new("micro: single operations", &["operation", "ns"]);
    for (name, summary) in &micro.times {
        times.row([name.clone(), summary.show(1)]);
    }
    format!("{}{}", times.render(style), system_calls(micro, style))
}

fn system_calls(micro: &Micro, style: Style) -> String {
    let calls = match &micro.calls {
        Ok(calls) => calls,
        Err(e) => return format!("micro: no system calls counted: {e:#}\n"),
    };
    let many = calls.queues.to_string();
    let columns = ["system call", "no queue", "1 queue", &many, "each beyond the 1st"];
    let mut table = Table::new("micro: system calls, queues created and dropped", &columns);
    for Row { name, none, one, many } in &calls.rows {
        let more = many.cast_signed() - one.cast_signed();
        let each = format!("{:.4}", more as f64 / (calls.queues - 1) as f64);
        let numbers = [none.to_string(), one.to_string(), many.to_string(), each];
        table.row([name.clone()].into_iter().chain(numbers));
    }
    table.render(style)
}

/// What the polling engines cost, and how that compares.
pub(crate) fn engines(series: &Result<Vec<Series>>, style: Style) -> String {
    let series = match series {
        Ok(series) => series,
        Err(e) => return format!("engines: error: {e:#}\n"),
    };
    let median = |own: &Series, _: &Series| match Summary::of(own.values.iter().copied()) {
        Some(summary) => format!("{:.0}", summary.median),
        None => show(None, 0),
    };
    let ratios = |own: &Series, yardstick: &Series| {
        let pairs = own.values.iter().zip(&yardstick.values);
        show(Summary::of(pairs.map(|(own, yardstick)| own / yardstick)), 2)
    };
    let rounds = series.first().map_or(0, |series| series.values.len());
    let measured = by_contender(format!("engines: measured, medians of {rounds}"), series, median);
    let compared = format!("engines: ÷ {YARDSTICK}, round by round, median (least..most)");
    let compared = by_contender(compared, series, ratios);
    format!("{}{}", measured.render(style), compared.render(style))
}

/// A row for each operation, and a column for each contender.
fn by_contender(
    title: String,
    series: &[Series],
    cell: impl Fn(&Series, &Series) -> String,
) -> Table {
    let rows: Vec<_> = series.chunk_by(|a, b| a.operation == b.operation).collect();
    let contenders = rows.iter().take(1).copied().flatten().map(|it| it.contender.as_str());
    let columns: Vec<&str> = ["operation"].into_iter().chain(contenders).collect();
    let mut table = Table::new(title, &columns);
    for row in rows {
        let Some(yardstick) = row.iter().find(|it| it.contender == YARDSTICK) else { continue };
        let cells = row.iter().map(|own| cell(own, yardstick));
        table.row([row[0].operation.clone()].into_iter().chain(cells));
    }
    table
}

/// Where the time of a server goes.
pub(crate) fn profiles(profiles: &[Profile], style: Style) -> String {
    profiles.iter().map(|profile| one_profile(profile, style)).collect()
}

fn one_profile(profile: &Profile, style: Style) -> String {
    let share = |samples: u64| format!("{:.1}", samples as f64 * 100.0 / profile.total as f64);
    let title = format!(
        "{} {}: self time by group, {} samples",
        profile.name,
        describe(profile.shape),
        profile.total
    );
    let mut groups = Table::new(title, &["group", "%"]);
    for (group, samples) in profile.groups() {
        groups.row([group.to_owned(), share(samples)]);
    }
    let title = format!("{} {}: self time by symbol", profile.name, describe(profile.shape));
    let mut symbols = Table::new(title, &["group", "%", "symbol"]);
    for symbol in profile.symbols.iter().take(SYMBOLS) {
        let name = symbol.name.replace('|', "/");
        symbols.row([symbol.group.to_owned(), share(symbol.samples), name]);
    }
    symbols.left(2);
    format!("{}{}", groups.render(style), symbols.render(style))
}
