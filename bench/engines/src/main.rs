//! Times the polling engines beside mio and polling, all in one process and taking turns.
//!
//! `engines ROUNDS S L [OPERATION [CONTENDER]]` prints a line for each operation and contender: both
//! names, and a number for each round, with tabs between them. `S` is the core of the thread that waits,
//! and `L` that of the one that it waits for. With a name, only those that have it in theirs are
//! measured, as for a profile. Must be compiled with `RUSTFLAGS="--cfg turnstile_bench"`, as the driver
//! does.

#[cfg(turnstile_bench)]
mod contenders;
#[cfg(turnstile_bench)]
mod cores;
#[cfg(turnstile_bench)]
mod operations;
#[cfg(turnstile_bench)]
mod pair;

use std::error::Error;

#[cfg(turnstile_bench)]
fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [rounds, waiter, other, names @ ..] = &args[..] else {
        return Err("give the number of rounds and two cores".into());
    };
    let is_wanted = |at: usize, name: &str| names.get(at).is_none_or(|part| name.contains(part));
    let (rounds, cores) = (rounds.parse()?, cores::Cores::new(waiter.parse()?, other.parse()?));
    cores::allow_fds(operations::MOST_FDS)?;
    let mut contenders = contenders::all()?;
    contenders.retain(|contender| is_wanted(1, contender.name()));
    for operation in operations::ALL {
        if !operation.measures.iter().any(|name| is_wanted(0, name)) {
            continue;
        }
        // By measure of the operation, by contender, by round.
        let mut series = vec![vec![vec![0.0; rounds]; contenders.len()]; operation.measures.len()];
        for round in 0..rounds {
            for turn in 0..contenders.len() {
                let index = (round + turn) % contenders.len();
                let values = (operation.run)(&*contenders[index], cores)?;
                for (series, value) in series.iter_mut().zip(values) {
                    series[index][round] = value;
                }
            }
        }
        for (measure, series) in operation.measures.iter().zip(series) {
            for (contender, values) in contenders.iter().zip(series) {
                let values: Vec<String> = values.iter().map(|it| format!("{it:.1}")).collect();
                println!("{measure}\t{}\t{}", contender.name(), values.join(" "));
            }
        }
    }
    Ok(())
}

#[cfg(not(turnstile_bench))]
fn main() -> Result<(), Box<dyn Error>> {
    Err("this was compiled without `--cfg turnstile_bench`: start it through the driver, with \
         `cargo run --release -- --only engines`"
        .into())
}
