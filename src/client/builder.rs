//! How a channel is described.

use super::backoff::BackoffRules;
use super::channel::Channel;
use super::control::Control;
use super::options::CallOptions;
use super::subchannel::Environment;
use super::target::Target;
use crate::compression::{Encoding, Encodings};
use crate::error::{Error, Result};
use crate::iomgr::{Iomgr, PollsetSet};
use crate::transport::h2::{self, ClientConfig, Keepalives};
use http::uri::Authority;
use std::sync::Arc;
use std::time::Duration;

/// Describes a [`Channel`]. Made by [`Channel::builder`]; nothing happens before [`build`](Self::build),
/// and no method blocks.
///
/// ```
/// use std::time::Duration;
/// use turnstile::{CallOptions, Channel};
///
/// let channel = Channel::builder("dns:///shop.example.com:50051")
///     .call_options(CallOptions::new().timeout(Duration::from_secs(2)))
///     .user_agent("shop/1.0")
///     .keepalive(Duration::from_secs(60), Duration::from_secs(20))
///     .build()?;
/// # drop(channel);
/// # Ok::<(), turnstile::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a channel is there when it is built"]
pub struct Builder {
    target: String,
    authority: Option<String>,
    user_agent: Option<String>,
    options: CallOptions,
    config: ClientConfig,
    backoff: BackoffRules,
}

/// What the calls of a channel have in common.
pub(super) struct Config {
    pub(super) authority: Authority,
    pub(super) options: CallOptions,
    pub(super) accepts: Encodings,
}

impl Builder {
    pub(super) fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            authority: None,
            user_agent: None,
            options: CallOptions::new(),
            config: ClientConfig { max_idle: IDLE, ..ClientConfig::default() },
            backoff: BackoffRules::default(),
        }
    }

    /// The name of the server that calls ask for (`:authority`), instead of the target's: for servers
    /// behind a proxy, or a UNIX socket, whose default is `localhost`.
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    /// What the application calls itself, such as `shop/1.0`: the beginning of the `user-agent`, which
    /// the library's own name follows.
    pub fn user_agent(mut self, name: &str) -> Self {
        self.user_agent = Some(name.to_owned());
        self
    }

    /// What calls have unless they say otherwise, such as a timeout.
    pub fn call_options(mut self, options: CallOptions) -> Self {
        self.options = self.options.merged_with(options);
        self
    }

    /// How a server that has gone without a word is noticed (gRFC A8): when nothing has come for `time`,
    /// a PING is sent, and when nothing comes for `timeout` after that, the connection is closed and its
    /// calls end with UNAVAILABLE. Off by default. `time` is at least ten seconds: many servers end the
    /// connections of clients that send more PINGs than one in five minutes, and then it is doubled.
    ///
    /// Only while there are calls, and [while a thread waits](Channel#threads). The kernel looks after
    /// what was sent in any case: a TCP connection ends when that is not acknowledged for `timeout`
    /// (TCP_USER_TIMEOUT, gRFC A18).
    pub fn keepalive(mut self, time: Duration, timeout: Duration) -> Self {
        let without_calls = self.config.keepalive.without_calls;
        self.config.keepalive = Keepalives::new(time, timeout, without_calls);
        self
    }

    /// Whether PINGs are sent without calls, too. Off by default, as servers may not like it.
    pub fn keepalive_without_calls(mut self, pings: bool) -> Self {
        self.config.keepalive.without_calls = pings;
        self
    }

    /// For how long there is no call before the connection is closed, after which the next call connects
    /// again. By default half an hour, as in other languages; [`Duration::MAX`] is for ever. It may be a
    /// quarter longer, and takes [a thread that waits](Channel#threads).
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.config.max_idle = time;
        self
    }

    /// The time between the beginnings of two attempts to connect: at first, and at most. It grows by
    /// three fifths each time, and is a fifth longer or shorter by chance, so that many clients do not
    /// come at once. By default a second and two minutes, as gRPC's connection backoff document has it;
    /// a server that has sent its SETTINGS begins it anew. At least a millisecond, and at most a year.
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        (self.backoff.initial, self.backoff.max) = (initial, max.max(initial));
        self
    }

    /// How long an attempt to connect may take at each address, the server's SETTINGS included, unless
    /// the backoff is longer. Default 20 seconds.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.backoff.min_connect_time = time;
        self
    }

    /// How many bytes of one call's messages the server may send before the application takes them.
    /// Default 1 MiB, at most 2^31 - 1 (RFC 9113 section 6.9.1). See
    /// [`Server`'s](crate::Builder::stream_window).
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.config.stream_window = bytes.min(MAX_WINDOW);
        self
    }

    /// The same for all calls of a connection together. Default 16 MiB.
    pub fn connection_window(mut self, bytes: u32) -> Self {
        self.config.connection_window = bytes.min(MAX_WINDOW);
        self
    }

    /// The largest metadata that a server may answer with, or end a call with, in bytes as RFC 9113
    /// section 6.5.2 counts them. Default 16 KiB; more ends the call with RESOURCE_EXHAUSTED.
    pub fn max_metadata_size(mut self, bytes: usize) -> Self {
        self.config.max_metadata_size = bytes;
        self
    }

    /// Makes the channel, which does not connect yet.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// As [`Channel::connect`]; an authority or a user agent that no header can have.
    pub fn build(self) -> Result<Channel> {
        let cause = |cause| Error::config(format!("cannot connect to {:?}: {cause}", self.target));
        let target = Target::read(&self.target).map_err(cause)?;
        let authority = match &self.authority {
            Some(text) => Authority::try_from(&**text).map_err(|error| {
                Error::config(format!("{text:?} cannot be the name of a server: {error}"))
            })?,
            None => target.authority,
        };
        let mut config = self.config;
        if let Some(prefix) = &self.user_agent {
            config.user_agent = h2::user_agent(prefix).map_err(|error| {
                Error::config(format!("{prefix:?} cannot be a user agent: {error}"))
            })?;
        }
        let iomgr = Iomgr::of_process_with(None)?;
        let set = PollsetSet::new(&iomgr);
        set.add_set(&PollsetSet::everybody(&iomgr))?;
        let (set, config, backoff) = (Arc::new(set), Arc::new(config), self.backoff);
        let environment = Environment { iomgr, set, config, backoff };
        let control = Control::new(self.target, target.resolver, environment);
        let accepts = Encodings::of(Encoding::ALL);
        Ok(Channel::new(control, Config { authority, options: self.options, accepts }))
    }
}

/// As in gRPC's other languages.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// RFC 9113 section 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;
