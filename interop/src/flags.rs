//! Flags as the interoperability programs of other languages have them.

use std::str::FromStr;

/// The flags of a command line: `--name=value`, `--name value`, or `--name` alone, which is `true`.
/// One dash is as good as two. The last of several counts.
///
/// ```
/// use turnstile_interop::Flags;
///
/// let arguments = ["--port=8080", "--use_tls", "false"].map(str::to_owned);
/// let mut flags = Flags::parse(arguments)?;
/// assert_eq!(flags.take("port")?, Some(8080));
/// assert_eq!(flags.take("use_tls")?, Some(false));
/// assert_eq!(flags.take::<usize>("threads")?, None);
/// flags.finish()?;
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct Flags(Vec<(String, String)>);

impl Flags {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// If one is neither a flag nor a flag's value.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut flags = Vec::new();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix('-') else {
                return Err(format!("{argument:?} belongs to no flag"));
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let value = arguments.next_if(|next| !next.starts_with('-'));
                    (flag, value.unwrap_or_else(|| "true".to_owned()))
                }
            };
            flags.push((name.to_owned(), value));
        }
        Ok(Self(flags))
    }

    /// Takes the value of a flag, if it is there.
    ///
    /// # Errors
    /// If the value is not of that type.
    pub fn take<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let mut last = None;
        for (_, value) in self.0.extract_if(.., |flag| flag.0 == name) {
            last = Some(value);
        }
        let Some(value) = last else { return Ok(None) };
        let parsed = value.parse().map(Some);
        parsed.map_err(|_| format!("--{name} cannot be {value:?}"))
    }

    /// Says so if there is a flag that nobody has taken.
    ///
    /// # Errors
    /// If there is one.
    pub fn finish(self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(format!("there is no flag --{name}")))
    }
}
