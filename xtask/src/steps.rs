//! Named steps that run one after the other, and the summary at the end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What a step comes to: a word on how it went, or the cause of its failure and what to do.
pub(crate) type Outcome = Result<String, String>;

/// The steps that have run so far.
pub(crate) struct Steps {
    done: Vec<Step>,
}

/// A step that has run.
struct Step {
    name: String,
    took: Duration,
    outcome: Outcome,
}

impl Steps {
    /// No steps yet.
    pub(crate) fn new() -> Self {
        Self { done: Vec::new() }
    }

    /// Runs a step. A failure is noted, and the steps after it still run: one run shows all that
    /// is wrong.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Outcome) {
        println!("==> {name}");
        let start = Instant::now();
        let outcome = step();
        let step = Step { name: name.to_owned(), took: start.elapsed(), outcome };
        println!("{}", step.line());
        if let Err(cause) = &step.outcome {
            eprintln!("{cause}");
        }
        self.done.push(step);
    }

    /// Prints the summary and says how the program ends.
    pub(crate) fn finish(self) -> ExitCode {
        if self.done.len() > 1 {
            println!("\nSummary");
            for step in &self.done {
                println!("{}", step.line());
            }
        }
        if self.done.iter().all(|step| step.outcome.is_ok()) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Step {
    fn line(&self) -> String {
        let seconds = self.took.as_secs_f64();
        match &self.outcome {
            Ok(how) => format!("  ok    {seconds:7.1} s  {}: {how}", self.name),
            Err(_) => format!("  FAIL  {seconds:7.1} s  {}", self.name),
        }
    }
}
